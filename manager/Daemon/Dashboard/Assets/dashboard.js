// The page of the metrics port: one stream of frames, and one question a second about the session that is looked at. Whatever a client chose (labels,
// names of processes and files) gets into the page as text only, never as markup.

const $ = id => document.getElementById(id);
const wholeNumbers = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

// ---- forms of numbers and texts ----

const count = n => wholeNumbers.format(n);

function rounded(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function scaled(value, step, units) {
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return unit === 0 ? `${wholeNumbers.format(value)} ${units[0]}`.trimEnd() : `${rounded(value)} ${units[unit]}`;
}

const bytes = n => scaled(n, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']);
const nanoseconds = n => (n === 0 ? '–' : n >= 1e9 ? `${rounded(n / 1e9)} s` : scaled(n, 1000, ['ns', 'µs', 'ms']));
const rate = n => (n > 0 && n < 10 ? n.toFixed(1) : scaled(n, 1000, ['', 'k', 'M', 'G']));

function span(seconds) {
  const whole = Math.floor(seconds);
  const parts = [[Math.floor(whole / 86400), 'd'], [Math.floor(whole / 3600) % 24, 'h'], [Math.floor(whole / 60) % 60, 'min'], [whole % 60, 's']];
  const first = parts.findIndex(part => part[0] > 0);
  return first < 0 ? '0 s' : parts.slice(first, first + 2).map(part => part.join(' ')).join(' ');
}

const clock = at => new Date(at).toLocaleTimeString('en-GB');
const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

// ---- elements ----

// Writing what is there already would make the browser lay out the page again, and read it out again.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function mark(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Brings the children of a node in line with a list. A child stays the same node as long as its key is in the list, so that focus and selection survive.
function reconcile(parent, items, keyOf, make, update) {
  const old = new Map([...parent.children].map(child => [child.dataset.key, child]));
  const wanted = new Set(items.map(item => String(keyOf(item))));
  for (const [key, child] of old) if (!wanted.has(key)) child.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
}

function cell(name, ...children) {
  return element('td', { 'data-name': name }, ...children);
}

function bar() {
  return element('span', { class: 'bar', 'aria-hidden': 'true' }, element('span'));
}

// A bar that shows how near a limit is, says so when it is reached.
function fill(node, part, isLimit = false) {
  const width = `${Math.min(100, Math.max(0, part * 100)).toFixed(1)}%`;
  if (node.firstChild.style.width !== width) node.firstChild.style.width = width;
  mark(node, 'data-full', isLimit && part >= 0.9 ? 'yes' : 'no');
}

// ---- canvases ----

// The context of a canvas whose pixels are those of the screen, and its size in CSS pixels.
function surface(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  const [wide, high] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const context = canvas.getContext('2d');
  context.setTransform(wide / Math.max(1, width), 0, 0, high / Math.max(1, height), 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

function mixed(from, to, part) {
  const parse = text => [1, 3, 5].map(at => parseInt(text.slice(at, at + 2), 16));
  const [a, b] = [parse(from), parse(to)];
  return `rgb(${a.map((channel, i) => Math.round(channel + (b[i] - channel) * part)).join(' ')})`;
}

function heat(part) {
  return part < 0.5 ? mixed(color('heat-low'), color('heat-middle'), part * 2) : mixed(color('heat-middle'), color('heat-high'), part * 2 - 1);
}

// ---- service times over time ----

const latency = { slotSeconds: 5, boundaries: [], slots: [], cursor: null };
const chart = { left: 52, bottom: 20, top: 4, right: 4 };

function takeHistory(history) {
  latency.slotSeconds = history.slotSeconds;
  latency.boundaries = history.boundariesNanoseconds;
  latency.slots = history.slots;
  drawLatency();
}

// The beginning of a slot is told anew each time, from two clocks: the same one may differ by some milliseconds.
function takeNewest(newest) {
  for (const slot of newest) {
    const begin = Date.parse(slot.at);
    const half = latency.slotSeconds * 500;
    const at = latency.slots.findIndex(known => Math.abs(Date.parse(known.at) - begin) < half);
    if (at >= 0) latency.slots[at] = slot;
    else if (latency.slots.length > 0 && begin > Date.parse(latency.slots.at(-1).at)) latency.slots = [...latency.slots.slice(1), slot];
  }
  drawLatency();
}

const faultsIn = slot => slot.counts.reduce((sum, n) => sum + n, 0);

function chartPlaces(width, height) {
  const rows = latency.boundaries.length + 1;
  return {
    rows,
    wide: (width - chart.left - chart.right) / Math.max(1, latency.slots.length),
    high: (height - chart.top - chart.bottom) / rows,
    rowTop: row => chart.top + (height - chart.top - chart.bottom) * (1 - (row + 1) / rows),
  };
}

function drawLatency() {
  const { context, width, height } = surface($('latency'));
  const { slots } = latency;
  context.fillStyle = color('heat-zero');
  context.fillRect(chart.left, chart.top, width - chart.left - chart.right, height - chart.top - chart.bottom);
  if (slots.length === 0) return;

  const { wide, high, rowTop } = chartPlaces(width, height);
  const most = Math.max(1, ...slots.map(slot => Math.max(...slot.counts)));
  slots.forEach((slot, i) => slot.counts.forEach((n, row) => {
    if (n === 0) return;
    context.fillStyle = heat(Math.log(n) / Math.max(1, Math.log(most)));
    context.fillRect(chart.left + i * wide, rowTop(row), wide + 0.5, high + 0.5);
  }));

  drawPercentile(context, 'p99Nanoseconds', color('tail'), [4, 3], width, height);
  drawPercentile(context, 'p50Nanoseconds', color('median'), [], width, height);
  drawAxes(context, width, height, rowTop);
  if (latency.cursor) {
    context.strokeStyle = color('ink');
    context.lineWidth = 2;
    context.strokeRect(chart.left + latency.cursor.slot * wide, rowTop(latency.cursor.row), Math.max(3, wide), high);
  }

  const scale = surface($('latency-scale'));
  for (let x = 0; x < scale.width; x++) {
    scale.context.fillStyle = heat(x / scale.width);
    scale.context.fillRect(x, 0, 1.5, scale.height);
  }
  say($('latency-most'), count(most));

  const all = slots.reduce((sum, slot) => sum + faultsIn(slot), 0);
  const worst = Math.max(...slots.map(slot => slot.p99Nanoseconds));
  mark($('latency'), 'aria-label', all === 0
    ? 'Heat map of service times: no faults in the last ten minutes'
    : `Heat map of service times: ${plural(all, 'fault', 'faults')} in the last ten minutes, 99th percentile at most ${nanoseconds(worst)} in any 5 seconds`);
  mark($('latency'), 'data-faults', String(all));
  readLatency();
}

function drawPercentile(context, field, stroke, dashes, width, height) {
  const { wide, high, rowTop } = chartPlaces(width, height);
  context.strokeStyle = stroke;
  context.lineWidth = 2;
  context.setLineDash(dashes);
  context.beginPath();
  let drawing = false;
  latency.slots.forEach((slot, i) => {
    const row = latency.boundaries.indexOf(slot[field]);
    if (row < 0) {
      drawing = false;
      return;
    }
    const [x, y] = [chart.left + i * wide, rowTop(row) + high / 2];
    if (drawing) context.lineTo(x, y);
    else context.moveTo(x, y);
    context.lineTo(x + wide, y);
    drawing = true;
  });
  context.stroke();
  context.setLineDash([]);
}

function drawAxes(context, width, height, rowTop) {
  context.fillStyle = color('quiet');
  context.font = '12px system-ui, sans-serif';
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  latency.boundaries.forEach((boundary, row) => {
    if (!/^10*$/.test(String(boundary))) return;
    const value = boundary >= 1e9 ? `${boundary / 1e9} s` : boundary >= 1e6 ? `${boundary / 1e6} ms` : `${boundary / 1e3} µs`;
    context.fillText(value, chart.left - 6, rowTop(row));
  });
  context.textBaseline = 'alphabetic';
  const minutes = latency.slots.length * latency.slotSeconds / 60;
  context.textAlign = 'left';
  context.fillText(`${minutes} min ago`, chart.left, height - 5);
  context.textAlign = 'center';
  context.fillText(`${minutes / 2} min`, chart.left + (width - chart.left - chart.right) / 2, height - 5);
  context.textAlign = 'right';
  context.fillText('now', width - chart.right, height - 5);
}

function readLatency() {
  const { cursor, slots, boundaries, slotSeconds } = latency;
  if (!cursor || !slots[cursor.slot]) {
    say($('latency-readout'), 'Point at the map, or move over it with the arrow keys.');
    return;
  }
  const slot = slots[cursor.slot];
  const from = cursor.row === 0 ? 'up to' : cursor.row >= boundaries.length ? 'above' : `${nanoseconds(boundaries[cursor.row - 1])} to`;
  const to = nanoseconds(boundaries[Math.min(cursor.row, boundaries.length - 1)]);
  const times = faultsIn(slot) === 0 ? '' : `, median at most ${nanoseconds(slot.p50Nanoseconds)}, 99th percentile at most ${nanoseconds(slot.p99Nanoseconds)}`;
  say($('latency-readout'), `${clock(slot.at)}, ${slotSeconds} s: ${plural(slot.counts[cursor.row], 'fault', 'faults')} of ${from} ${to}; `
    + `${count(faultsIn(slot))} in all${times}`);
}

$('latency').addEventListener('pointermove', event => {
  if (latency.slots.length === 0) return;
  const box = $('latency').getBoundingClientRect();
  const { wide, high, rows } = chartPlaces(box.width, box.height);
  const slot = Math.floor((event.clientX - box.left - chart.left) / wide);
  const row = rows - 1 - Math.floor((event.clientY - box.top - chart.top) / high);
  latency.cursor = slot >= 0 && slot < latency.slots.length && row >= 0 && row < rows ? { slot, row } : null;
  drawLatency();
});
$('latency').addEventListener('pointerleave', () => {
  latency.cursor = null;
  drawLatency();
});
$('latency').addEventListener('keydown', event => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Escape: null }[event.key];
  if (step === undefined || latency.slots.length === 0) return;
  event.preventDefault();
  const newest = latency.slots.length - 1;
  const { slot, row } = latency.cursor ?? { slot: newest, row: Math.max(0, latency.boundaries.indexOf(latency.slots[newest].p50Nanoseconds)) };
  latency.cursor = step && (latency.cursor
    ? { slot: Math.min(newest, Math.max(0, slot + step[0])), row: Math.min(latency.boundaries.length, Math.max(0, row + step[1])) }
    : { slot, row });
  drawLatency();
});

// ---- the daemon ----

let hello = null;
let restarts = 0;

function takeHello(next) {
  // An open page outlives the daemon; after an upgrade it is the page of another version.
  if (hello && hello.assets !== next.assets) {
    location.reload();
    return;
  }
  if (hello && (hello.pid !== next.pid || hello.startedAt !== next.startedAt)) restarts++;
  hello = next;
  say($('host'), `on ${hello.host}`);
  say($('process'), restarts === 0 ? `pid ${hello.pid}` : `pid ${hello.pid}, restarted ${plural(restarts, 'time', 'times')} since this page was opened`);
  mark($('process'), 'data-pid', String(hello.pid));
  say($('version'), hello.version.replace(/(\+[0-9a-f]{10})[0-9a-f]+$/, '$1'));
  mark($('version'), 'title', hello.version);
  say($('kernel'), `Linux ${hello.kernel}`);
  document.title = `uffd-manager on ${hello.host}`;
}

function showStatus(status) {
  const drain = status.drain;
  say($('phase'), drain
    ? `draining since ${clock(drain.since)} (${drain.by}): no new sessions, ${count(drain.sessions)} left`
    : status.phase);
  mark($('phase'), 'data-mood', status.phase === 'ready' ? 'good' : 'warn');
  say($('uptime'), span(status.uptimeSeconds));
  say($('kept'), status.kept ? 'a successor takes over all sessions' : 'sessions without a keeper are lost');
  mark($('kept'), 'data-mood', status.kept ? 'good' : 'warn');
  const restored = status.restored;
  say($('restored'), restored === null
    ? 'nothing: this daemon had no predecessor that left sessions'
    : `${plural(restored.sessions, 'session', 'sessions')} from the predecessor in ${nanoseconds(Math.max(1, restored.seconds * 1e9))}`
      + `, ${count(restored.gone)} had ended meanwhile, ${count(restored.failures.length)} could not be taken over`);
  mark($('restored'), 'data-mood', restored !== null && restored.failures.length > 0 ? 'bad' : 'plain');
  say($('complaints'), status.complaints.length === 0 ? 'none' : status.complaints.join('; '));
  mark($('complaints'), 'data-mood', status.complaints.length === 0 ? 'good' : 'bad');
  list($('losses'), `What cannot be done here (${status.losses.length})`, status.losses);
  const failures = restored?.failures ?? [];
  list($('failures'), `Sessions that could not be taken over (${failures.length})`, failures.map(failure =>
    `session ${failure.session || 'unknown'}, pid ${failure.pid || 'unknown'}: ${failure.reason}${failure.killed ? '; its process was killed' : ''}`));
}

function list(details, summary, lines) {
  details.hidden = lines.length === 0;
  say(details.querySelector('summary'), summary);
  reconcile(details.querySelector('ul'), lines.map((text, i) => ({ text, i })), line => line.i, () => element('li'), (node, line) => say(node, line.text));
}

function showNow(frame) {
  say($('now-sessions'), count(frame.total.sessions));
  say($('now-faults'), rate(frame.total.faultsPerSecond));
  say($('now-p50'), nanoseconds(frame.total.p50Nanoseconds));
  say($('now-p99'), nanoseconds(frame.total.p99Nanoseconds));
  say($('now-resident'), bytes(frame.totals.residentBytes));
  say($('now-registered'), bytes(frame.totals.registeredBytes));
  say($('now-copied'), bytes(frame.total.copiedBytesPerSecond));
  say($('now-flight'), count(frame.totals.pagesInFlight));
}

function showLoops(loops) {
  reconcile($('loops'), loops, loop => loop.index, () => element('li', {}, element('span'), bar()), (node, loop) => {
    say(node.firstChild, `Loop ${loop.index}: ${(loop.busyRatio * 100).toFixed(1)} % busy, ${plural(loop.sessions, 'session', 'sessions')}, `
      + `${rate(loop.wakeupsPerSecond)} wake-ups/s`);
    fill(node.lastChild, loop.busyRatio);
  });
}

// ---- tenants ----

const shares = [
  ['Sessions', 'sessions', count], ['Regions', 'regions', count], ['Registered', 'registeredBytes', bytes],
  ['Page tables', 'pageTableBytes', bytes], ['In flight', 'pagesInFlight', count],
];

function showTenants(frame) {
  reconcile($('tenants'), frame.tenants, tenant => tenant.name,
    () => element('tr', {}, element('th', { scope: 'row', 'data-name': 'Tenant' }), cell('Faults/s'), cell('p99'),
      ...shares.map(share => cell(share[0], element('span'), element('small'), bar())), cell('Fetches', element('span'), element('small'), bar())),
    (row, tenant) => {
      const [name, faults, tail, ...cells] = row.children;
      say(name, tenant.configured ? tenant.name : `${tenant.name} (no longer configured)`);
      mark(name, 'title', tenant.name);
      say(faults, rate(tenant.rates?.faultsPerSecond ?? 0));
      say(tail, nanoseconds(tenant.rates?.p99Nanoseconds ?? 0));
      shares.forEach(([, field, form], i) => share(cells[i], tenant.usage[field], tenant.limits[field], form));
      share(cells.at(-1), tenant.usage.fetches, tenant.limits.fetchQueueDepth, count);
    });
  $('tenants-empty').hidden = frame.otherTenants === 0;
  say($('tenants-empty'), `and ${plural(frame.otherTenants, 'tenant', 'tenants')} with fewer faults: uffdctl tenant list`);
}

function share(node, used, limit, form) {
  say(node.children[0], form(used));
  say(node.children[1], limit > 0 ? `of ${form(limit)}` : 'no limit');
  fill(node.children[2], limit > 0 ? used / limit : 0, true);
}

// ---- sessions ----

const order = { field: 'id', descending: false };
let frameNow = null;

function showSessions(frame) {
  const sign = order.descending ? -1 : 1;
  const sessions = [...frame.sessions].sort((a, b) => sign * (a[order.field] - b[order.field]) || a.id - b.id);
  reconcile($('session-rows'), sessions, session => session.id,
    session => {
      const open = element('button', { type: 'button', 'aria-controls': 'detail', 'aria-label': `Show the memory of session ${session.id}` }, String(session.id));
      open.addEventListener('click', () => select(session.id === selected ? null : session.id));
      return element('tr', {}, element('th', { scope: 'row', 'data-name': 'Session' }, open), cell('Process', element('span'), element('small')), cell('Label'), cell('Tenant'),
        cell('State'), cell('Faults/s'), cell('p50'), cell('p99'), cell('Resident', element('span'), element('small'), bar()), cell('In flight'), cell('Put off'));
    },
    (row, session) => {
      const [open, process, label, tenant, state, faults, median, tail, memory, flight, queue] = row.children;
      mark(row, 'aria-current', session.id === selected ? 'true' : 'false');
      mark(open.firstChild, 'aria-expanded', session.id === selected ? 'true' : 'false');
      say(process.children[0], session.command ?? '–');
      say(process.children[1], session.pid === 0 ? 'not identified' : `pid ${session.pid}`);
      say(label, session.label || '–');
      mark(label, 'title', session.label);
      say(tenant, session.tenant);
      say(state, session.state);
      say(faults, rate(session.faultsPerSecond));
      say(median, nanoseconds(session.p50Nanoseconds));
      say(tail, nanoseconds(session.p99Nanoseconds));
      say(memory.children[0], bytes(session.residentBytes));
      say(memory.children[1], `of ${bytes(session.registeredBytes)}`);
      fill(memory.children[2], session.residentBytes / Math.max(1, session.registeredBytes));
      say(flight, count(session.pagesInFlight));
      say(queue, count(session.queue));
    });
  $('sessions-table').hidden = sessions.length === 0;
  $('sessions-empty').hidden = sessions.length > 0;
  if (sessions.length === 0) emptySessions();
  $('sessions-more').hidden = frame.otherSessions === 0;
  say($('sessions-more'), `and ${plural(frame.otherSessions, 'session', 'sessions')} with fewer faults: uffdctl session list`);
}

function emptySessions() {
  if ($('sessions-empty').dataset.told) return;
  $('sessions-empty').dataset.told = 'yes';
  $('sessions-empty').replaceChildren('No sessions yet: start one with ', element('code', {}, 'uffd-run --policy=zero -- PROGRAM'), '.');
}

for (const button of document.querySelectorAll('[data-sort]')) {
  button.addEventListener('click', () => {
    const field = button.dataset.sort;
    order.descending = order.field === field ? !order.descending : field !== 'id';
    order.field = field;
    for (const head of document.querySelectorAll('th[aria-sort]')) head.removeAttribute('aria-sort');
    mark(button.parentElement, 'aria-sort', order.descending ? 'descending' : 'ascending');
    if (frameNow) showSessions(frameNow);
  });
}

// ---- one session's memory ----

const states = [
  ['present', 'resident'], ['inFlight', 'in flight'], ['removed', 'removed'], ['evicted', 'evicted'], ['poisoned', 'poisoned'],
];
const stateColor = { present: 'present', inFlight: 'in-flight', removed: 'removed', evicted: 'evicted', poisoned: 'poisoned' };

let selected = null;
let page = 0;
let asking = 0;
let asked = null;

function select(id) {
  const before = selected;
  selected = id;
  page = 0;
  history.replaceState(null, '', id === null ? location.pathname : `#session=${id}`);
  openDetail(true, before);
}

function openDetail(focus, before = null) {
  const turn = ++asking;
  asked?.abort();
  $('detail').hidden = selected === null;
  if (frameNow) showSessions(frameNow);
  if (selected === null) {
    if (focus) ($('session-rows').querySelector(`[data-key="${before}"] button`) ?? $('sessions')).focus();
    return;
  }
  say($('detail-title'), `Session ${selected}`);
  say($('detail-state'), 'Counting pages…');
  $('detail-facts').replaceChildren();
  $('regions').replaceChildren();
  if (focus) {
    $('detail-title').focus({ preventScroll: true });
    $('detail').scrollIntoView({ block: 'nearest' });
  }
  askMemory(turn);
}

async function askMemory(turn) {
  while (turn === asking && selected !== null) {
    let pause = 1000;
    asked = new AbortController();
    try {
      if (!document.hidden && live.state === 'live') {
        const response = await fetch(`live/sessions/${selected}?page=${page}`, { signal: asked.signal });
        if (turn !== asking) return;
        if (response.ok) showMemory(await response.json());
        else if (response.status === 404) {
          say($('detail-state'), `Session ${selected} has ended. What is below is the last that was seen of it.`);
          mark($('detail'), 'data-ended', 'yes');
          pause = 3000;
        } else {
          say($('detail-state'), (await response.text()).trim());
          pause = 2000;
        }
      }
    } catch {
      // Gone with the daemon, or with the next question; the state of the connection says which.
    }
    await new Promise(done => setTimeout(done, pause));
  }
}

function showMemory(memory) {
  const session = memory.session;
  mark($('detail'), 'data-ended', 'no');
  say($('detail-title'), `Session ${session.id}: ${session.command ?? 'unknown process'}, pid ${session.pid || 'unknown'}`);
  say($('detail-state'), memory.regions.length === 0
    ? 'No regions: the program has registered no memory yet.'
    : `Regions ${memory.first + 1} to ${memory.first + memory.regions.length} of ${count(session.regions)}`);
  $('detail-back').disabled = page === 0;
  $('detail-next').disabled = !memory.isMore;
  facts($('detail-facts'), [
    ['Label', session.label || '–'],
    ['Tenant', session.tenant],
    ['Policy', `${session.policy}, version ${session.policyVersion}`],
    ['State', memory.takenOver ? `${session.state}, taken over from an earlier daemon` : session.state],
    ['Since', `${new Date(session.startedAt).toLocaleString('en-GB')} (${span(session.uptimeSeconds)})`],
    ['Faults', count(session.faults)],
    ['Copied', bytes(session.copiedBytes)],
    ['Zeroed', bytes(session.zeroedBytes)],
    ['Service time p50, p99', session.latency ? `${nanoseconds(session.latency.p50Nanoseconds)}, ${nanoseconds(session.latency.p99Nanoseconds)}` : 'not measured'],
    ['If the daemon dies', session.keeper ? 'its own keeper lets it wait' : 'it needs a successor that takes it over'],
    ['Forked from', session.parent === null ? '–' : `session ${session.parent}`],
    ['Fault loop', String(session.loop)],
  ]);
  reconcile($('regions'), memory.regions.map((region, i) => ({ region, number: memory.first + i + 1 })), item => item.number, makeRegion, showRegion);
}

function facts(parent, pairs) {
  reconcile(parent, pairs, pair => pair[0], pair => element('div', {}, element('dt', {}, pair[0]), element('dd')), (node, pair) => say(node.lastChild, pair[1]));
}

function makeRegion() {
  const canvas = element('canvas', { class: 'map', tabindex: '0', role: 'img' });
  const readout = element('p', { class: 'readout' }, element('output'));
  const article = element('article', {}, element('h3'), element('p', { class: 'sums' }), canvas, readout);
  article.map = { region: null, cursor: null };
  const at = event => {
    const box = canvas.getBoundingClientRect();
    const { columns, rows } = mapPlaces(article.map.region.cells, box.width);
    const place = Math.floor((event.clientY - box.top) / box.height * rows) * columns + Math.floor((event.clientX - box.left) / box.width * columns);
    return place >= 0 && place < article.map.region.cells ? place : null;
  };
  const move = cursor => {
    article.map.cursor = cursor;
    drawMap(article);
  };
  canvas.addEventListener('pointermove', event => move(at(event)));
  canvas.addEventListener('pointerleave', () => move(null));
  canvas.addEventListener('keydown', event => {
    const { columns } = mapPlaces(article.map.region.cells, canvas.getBoundingClientRect().width);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Escape: null }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const cursor = article.map.cursor;
    move(step === null ? null : cursor === null ? 0 : Math.min(article.map.region.cells - 1, Math.max(0, cursor + step)));
  });
  return article;
}

function showRegion(article, { region, number }) {
  article.map.region = region;
  say(article.children[0], `Region ${number}: ${bytes(region.length)} in ${plural(region.pages, 'page', 'pages')} of ${bytes(region.pageBytes)}, `
    + `from ${region.source}, policy ${region.policy}, ${region.modes.join(' and ').replaceAll('_', ' ')}`);
  const sums = Object.fromEntries(states.map(([field]) => [field, region[field].reduce((sum, n) => sum + n, 0)]));
  const text = region.cells === 0
    ? 'Too large to be counted while others wait: uffdctl region show counts it.'
    : `${states.map(([field, word]) => `${word} ${count(sums[field])}`).join(', ')} ${region.pages === 1 ? 'page' : 'pages'}; `
      + `${bytes(sums.present * region.pageBytes)} resident`;
  say(article.children[1], text);
  for (const [field] of states) mark(article, `data-${stateColor[field]}`, String(sums[field]));
  mark(article.children[2], 'aria-label', `Map of region ${number}: ${text}`);
  article.children[2].hidden = region.cells === 0;
  drawMap(article);
}

function mapPlaces(cells, width) {
  const columns = Math.min(Math.max(1, cells), width >= 640 ? 64 : 32);
  return { columns, rows: Math.max(1, Math.ceil(cells / columns)) };
}

// Each cell is filled from the bottom by what its pages are; a state that a cell has at all is never thinner than can be seen.
function drawMap(article) {
  const { region, cursor } = article.map;
  const canvas = article.children[2];
  if (region.cells === 0 || canvas.hidden) return;
  const { columns, rows } = mapPlaces(region.cells, canvas.getBoundingClientRect().width);
  canvas.style.height = `${rows * 1.6}rem`;
  const { context, width, height } = surface(canvas);
  const [wide, high] = [width / columns, height / rows];
  for (let i = 0; i < region.cells; i++) {
    const [x, y] = [i % columns * wide, Math.floor(i / columns) * high];
    const pages = i === region.cells - 1 ? region.pages - i * region.pagesPerCell : region.pagesPerCell;
    context.fillStyle = color('absent');
    context.fillRect(x + 0.5, y + 0.5, wide - 1, high - 1);
    let bottom = y + high - 0.5;
    for (const [field] of states) {
      const n = region[field][i] ?? 0;
      if (n === 0) continue;
      const tall = Math.max(3, n / pages * (high - 1));
      const top = Math.max(y + 0.5, bottom - tall);
      context.fillStyle = color(stateColor[field]);
      context.fillRect(x + 0.5, top, wide - 1, Math.max(3, bottom - top));
      if (field === 'poisoned' || field === 'removed') hatch(context, field, x + 0.5, top, wide - 1, bottom - top);
      bottom = top;
    }
  }
  const readout = article.querySelector('output');
  if (cursor === null || cursor >= region.cells) {
    say(readout, '');
    return;
  }
  context.strokeStyle = color('ink');
  context.lineWidth = 2;
  context.strokeRect(cursor % columns * wide + 1, Math.floor(cursor / columns) * high + 1, wide - 2, high - 2);
  const first = cursor * region.pagesPerCell;
  const last = Math.min(region.pages, first + region.pagesPerCell) - 1;
  const parts = states.filter(([field]) => (region[field][cursor] ?? 0) > 0).map(([field, word]) => `${word} ${count(region[field][cursor])}`);
  say(readout, `Pages ${count(first)} to ${count(last)}: ${parts.join(', ') || 'never touched'}`);
}

// Poisoned and removed pages are told by their lines too: crosses, and strokes.
function hatch(context, field, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = color('panel');
  context.lineWidth = 1;
  context.beginPath();
  for (let at = -height; at < width; at += 5) {
    context.moveTo(x + at, y + height);
    context.lineTo(x + at + height, y);
    if (field === 'poisoned') {
      context.moveTo(x + at, y);
      context.lineTo(x + at + height, y + height);
    }
  }
  context.stroke();
  context.restore();
}

function drawMapLegend() {
  $('map-legend').replaceChildren(...[...states, ['absent', 'never touched']].map(([field, word]) => {
    const swatch = element('canvas', { class: 'swatch', 'aria-hidden': 'true' });
    const key = element('span', { class: 'key' }, swatch, word);
    requestAnimationFrame(() => {
      const { context, width, height } = surface(swatch);
      context.fillStyle = color(stateColor[field] ?? field);
      context.fillRect(0, 0, width, height);
      if (field === 'poisoned' || field === 'removed') hatch(context, field, 0, 0, width, height);
    });
    return key;
  }));
}

$('detail-close').addEventListener('click', () => select(null));
$('detail-back').addEventListener('click', () => turnPage(-1));
$('detail-next').addEventListener('click', () => turnPage(1));
$('detail').addEventListener('keydown', event => {
  if (event.key === 'Escape' && !event.defaultPrevented) select(null);
});

function turnPage(step) {
  page = Math.max(0, page + step);
  openDetail(false);
}

function selectFromAddress() {
  const match = /^#session=(\d{1,15})$/.exec(location.hash);
  selected = match ? Number(match[1]) : null;
  page = 0;
  openDetail(false);
}

// ---- the stream ----

const live = { state: 'connecting', since: Date.now(), last: null, attempts: 0, abort: null, timer: 0 };

function setConnection(state, text) {
  if (live.state !== state) live.since = Date.now();
  live.state = state;
  mark($('connection'), 'data-state', state);
  say($('connection-state'), text);
  tick();
}

// The part of the line that changes every second is not read out.
function tick() {
  if (live.state === 'live') say($('connection-time'), live.last ? `as of ${clock(live.last)}` : '');
  else if (live.state === 'lost') say($('connection-time'), `for ${span((Date.now() - live.since) / 1000)}${live.last ? `; the page is as of ${clock(live.last)}` : ''}`);
  else say($('connection-time'), '');
}

const handlers = {
  hello: takeHello,
  latency: takeHistory,
  frame(frame) {
    frameNow = frame;
    live.last = frame.at;
    live.attempts = 0;
    setConnection('live', 'Live');
    showStatus(frame.status);
    showNow(frame);
    showLoops(frame.loops);
    showTenants(frame);
    showSessions(frame);
    takeNewest(frame.latency);
  },
  trouble(trouble) {
    setConnection('live', 'Live, but there is trouble');
    say($('complaints'), `${trouble.reason} (${clock(trouble.at)})`);
    mark($('complaints'), 'data-mood', 'bad');
  },
  bye() {
    throw new Error('the daemon stops');
  },
};

// One event is "event: NAME", "data: JSON" and an empty line.
async function readEvents(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error('the daemon has closed the connection');
    rest += value;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const lines = rest.slice(0, end).split('\n');
      rest = rest.slice(end + 2);
      const name = lines.find(line => line.startsWith('event: '))?.slice(7);
      const data = lines.find(line => line.startsWith('data: '))?.slice(6);
      heard();
      if (Object.hasOwn(handlers, name)) handlers[name](JSON.parse(data));
    }
  }
}

async function connect() {
  clearTimeout(live.timer);
  if (document.hidden || live.abort) return;
  const abort = live.abort = new AbortController();
  let silence = 0;
  const patience = () => Math.max(5000, 4000 * (hello?.intervalSeconds ?? 1));
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => abort.abort(new Error('the daemon is silent')), patience());
  };
  let why = '';
  try {
    heard();
    const response = await fetch('live', { signal: abort.signal, headers: { accept: 'text/event-stream' } });
    if (!response.ok) throw new Error((await response.text()).trim() || `HTTP ${response.status}`);
    await readEvents(response.body, heard);
  } catch (error) {
    why = error instanceof TypeError ? 'it does not answer' : error.message;
  } finally {
    clearTimeout(silence);
    abort.abort();
    live.abort = null;
  }
  if (document.hidden) return;
  setConnection('lost', `Connection to the daemon lost: ${why}. Trying again`);
  live.timer = setTimeout(connect, Math.min(3000, 250 * 2 ** live.attempts++));
}

// A page that nobody sees need not be fed: the daemon looks at itself only while somebody looks at it, and a browser has six connections to one server.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    live.abort?.abort(new Error('hidden'));
    setConnection('connecting', 'Paused while hidden');
  } else {
    live.attempts = 0;
    live.timer = setTimeout(connect, 0);
  }
});

function redraw() {
  drawLatency();
  drawMapLegend();
  for (const article of $('regions').children) drawMap(article);
}

window.addEventListener('resize', redraw);
window.addEventListener('hashchange', selectFromAddress);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
setInterval(tick, 1000);
redraw();
selectFromAddress();
connect();
