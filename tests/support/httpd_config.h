/* SPDX-License-Identifier: Apache-2.0
 * httpd_config.h - options of a test into a configuration of httpd.
 */
#ifndef HTTPD_CONFIG_H
#define HTTPD_CONFIG_H

#include "httpd.h"

/* Where children leave their cores, below the server's directory. */
#define HTTPD_CORES "cores"

/* What the configuration needs to know about a server's place. */
typedef struct httpd_place {
    char directory[512];
    int port;
    int tls_port; /* 0: none */
} httpd_place;

/** The program, NULL if there is none on this machine. */
const char *httpd_program(void);

/** Children that httpd makes at a start. */
int httpd_start_servers(const httpd_options *options);

/** Two free ports of the loopback interface; free a moment ago, that is. */
void httpd_choose_ports(httpd_place *place, int tls);

/** Make folders, users, certificate. */
void httpd_prepare(const httpd_place *place, const httpd_options *options);

/** Write httpd.conf; `config` stands for options->config. */
void httpd_write_config(const httpd_place *place, const httpd_options *options,
                        const char *config);

/** Environment for starting it (libraries to be loaded before), NULL at the end. */
const char *const *httpd_environment(const httpd_place *place,
                                     const httpd_options *options);

#endif
