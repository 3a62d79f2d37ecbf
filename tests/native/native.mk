# What the Makefiles of the folders beside this one begin with: how C is compiled, and the code that several programs share.
BUILD ?= ../../../artifacts/native
CC ?= cc
CFLAGS ?= -O2 -g
WARNINGS := -std=c17 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
COMMON := ../common
CPPFLAGS += -D_GNU_SOURCE -I../../../protocol/include -I$(COMMON)
HEADERS := $(wildcard *.h $(COMMON)/*.h) ../../../protocol/include/uffd_manager/protocol.h

# What a client of the manager is made of.
CLIENT_COMMON := $(addprefix $(COMMON)/,arguments.c exchange.c forks.c link.c requests.c uffd.c watch.c)

.DEFAULT_GOAL := all

$(BUILD):
	mkdir -p $@
