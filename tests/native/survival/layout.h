/* layout.h - where the fields lie: mapping, moving, giving up and registering again. */
#ifndef SURVIVAL_LAYOUT_H
#define SURVIVAL_LAYOUT_H

#include "fields.h"

/* Maps and registers a field; its kind and what it contains are set. */
void layout_create(struct field *field);

/* Maps and registers the page that carries the fork token. */
void layout_create_mailbox(void);

/* Each of these takes the locks that it needs. */
void layout_renew(struct field *field, uint64_t *random);      /* unmap, map elsewhere, register */
void layout_renew_part(struct field *field, uint64_t *random); /* a hole, mapped and registered */
void layout_move(struct field *field);			       /* to an address that is free */
void layout_move_onto(struct field *field, struct field *victim, uint64_t *random);
void layout_move_part(struct field *field, uint64_t *random); /* away and back again */

#endif
