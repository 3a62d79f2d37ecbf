/* region.h - making regions, and where they lie. */
#ifndef MODEL_REGION_H
#define MODEL_REGION_H

#include "model.h"

/* While it is set no address is used a second time, so that each tells which page it is. */
extern atomic_bool region_keeps_addresses;

/* Opens what it needs, maps and registers it. */
void region_create(struct region *region, const struct shape *shape, unsigned int number);

/* A page whose first word tells a forked child who it is. */
void region_create_mailbox(void);

unsigned int region_take_place(void);
void region_give_place(unsigned int place);
unsigned char *region_address(unsigned int place);

/* Maps pages at an address where nothing is, and registers them. */
void region_map(const struct region *region, unsigned char *at, size_t first, size_t count);

#endif
