/*
 * command.h - what the test orders, a line of stdin each, and answered by a line of stdout:
 *
 *   may WORDS               workers may `move`, `remove`; "may ok"
 *   record                  begins to record; "record ok"
 *   seal                    the instant of the snapshot is over; "seal ok"
 *   image PATH [BASE]       the snapshot that was taken; no answer
 *   region START LENGTH OFFSET   of its description; no answer
 *   compare                 "compare ok events=N ..." ; ends the record
 *   drop                    ends the record without a comparison; "drop ok"
 *   track                   forgets which pages have changed; "track ok"
 *   list                    a list of changed pages is about to be taken; "list ok"
 *   changed START LENGTH    of the list; no answer
 *   listed                  "listed ok named=N idle=N"
 *   unlist                  instead of `listed`: the list was lost; "unlist ok"
 *   finish                  checks everything once more; "ok ..." and the end of the program
 */
#ifndef MODEL_COMMAND_H
#define MODEL_COMMAND_H

/* Returns after `finish`, or at the end of stdin. */
void command_run(unsigned int patience);

#endif
