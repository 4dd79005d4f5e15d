# SPDX-License-Identifier: Apache-2.0
# apxs.mk - build and install the module alone, with nothing but apxs.
#
#   make -f apxs.mk                      builds build-apxs/mod_commserver.so
#   make -f apxs.mk install              into httpd's folder of modules
#   make -f apxs.mk install DESTDIR=/x   below /x
#   make -f apxs.mk APXS=/opt/httpd/bin/apxs
#
# Everything else (agent, writer, tests) is built by configure and make.

APXS       ?= $(firstword $(shell PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v apxs2 apxs))
ifeq ($(APXS),)
$(error apxs not found: install apache2-dev, or give APXS=FILE)
endif
query       = $(shell $(APXS) -q $(1))

HTTPD      := $(call query,SBINDIR)/$(call query,PROGNAME)
LIBEXECDIR := $(call query,LIBEXECDIR)
INCLUDEDIR := $(call query,INCLUDEDIR)
ifeq ($(LIBEXECDIR),)
$(error '$(APXS)' does not answer: install apache2-dev, or give APXS=FILE)
endif

top        := $(dir $(lastword $(MAKEFILE_LIST)))
build      := build-apxs
module     := $(build)/mod_commserver.so
sources    := $(wildcard $(top)mod_commserver/*.c $(top)mod_commserver/queue/*.c)
objects    := $(patsubst $(top)%.c,$(build)/%.o,$(sources))

CC         := $(call query,CC)
CFLAGS     ?= $(call query,CFLAGS)
cppflags   := -I$(top)mod_commserver -I$(top)mod_commserver/queue -DNDEBUG \
	-I$(INCLUDEDIR) $(call query,EXTRA_CPPFLAGS) \
	$(shell $(call query,APR_CONFIG) --includes; $(call query,APU_CONFIG) --includes)
exports    := { global: commserver_module; local: *; };

all: $(module)

$(module): $(objects)
	@echo '$(exports)' > $(build)/exports
	@echo "  LD       $@"
	@$(CC) $(CFLAGS) -shared -Wl,-z,nodelete -Wl,--version-script=$(build)/exports -o $@ $^ $(LDFLAGS) -lpthread

$(build)/%.o: $(top)%.c
	@mkdir -p $(@D)
	@echo "  CC       $<"
	@$(CC) $(cppflags) $(CFLAGS) -std=gnu99 -fPIC -MMD -c -o $@ $<

install: $(module)
	install -d $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(INCLUDEDIR)
	install -m 644 $(module) $(DESTDIR)$(LIBEXECDIR)/
	install -m 644 $(top)mod_commserver/mod_commserver.h $(DESTDIR)$(INCLUDEDIR)/

uninstall:
	rm -f $(DESTDIR)$(LIBEXECDIR)/mod_commserver.so $(DESTDIR)$(INCLUDEDIR)/mod_commserver.h

clean:
	rm -rf $(build)

# What was found, for bug reports.
info:
	@echo "apxs:    $(APXS)"
	@echo "httpd:   $(HTTPD)"
	@echo "modules: $(LIBEXECDIR)"
	@echo "headers: $(INCLUDEDIR)"

-include $(objects:.o=.d)
.PHONY: all install uninstall clean info
