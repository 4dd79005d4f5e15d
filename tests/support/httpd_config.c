/* SPDX-License-Identifier: Apache-2.0
 * httpd_config.c - see httpd_config.h.
 *
 * Modules are loaded only where they are not compiled in, so that the same
 * text serves distributions that differ in this.
 */
#include "httpd_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"
#include "support.h"

#define PORT_FIRST 10240
#define PORT_END   32000
#define PORT_TRIES 100

/* A container's /dev/shm often has 64 MB in all. */
#define SEGMENT_SIZE "16M"

static const char base_modules[] = "unixd log_config authn_core authn_file auth_basic "
                                   "authz_core authz_host authz_user";

/* After Debian's default configuration; what base_modules has is left out. */
static const char debian_modules[] =
    "access_compat alias autoindex deflate dir env filter "
    "mime negotiation reqtimeout setenvif status";

static const char users_known[] = "alice\nbob\ncarol\ndave\nbackend\nadmin\n";

static const char debian_config[] =
    "TypesConfig /dev/null\n"
    "AddType text/html .html\n"
    "AddEncoding x-gzip .gz .tgz\n"
    "AddLanguage en .en\n"
    "AddOutputFilterByType DEFLATE text/html text/plain text/css application/json\n"
    "DirectoryIndex index.html index.html.var\n"
    "RequestReadTimeout header=20-40,minrate=500\n"
    "RequestReadTimeout body=10,minrate=500\n"
    "BrowserMatch \"Mozilla/2\" nokeepalive\n"
    "Alias /icons/ \"@DIR@/htdocs/\"\n"
    "<Directory \"@DIR@/htdocs\">\n"
    "    Options Indexes FollowSymLinks MultiViews\n"
    "    AllowOverride All\n"
    "</Directory>\n";

static const char places_config[] = "<Location \"/comm\">\n"
                                    "    AuthType Basic\n"
                                    "    AuthName \"commserver\"\n"
                                    "    AuthUserFile \"@DIR@/users\"\n"
                                    "</Location>\n"
                                    "<Location \"/comm/publish\">\n"
                                    "    SetHandler commserver-publish\n"
                                    "    Require valid-user\n"
                                    "</Location>\n"
                                    "<Location \"/comm/poll\">\n"
                                    "    SetHandler commserver-poll\n"
                                    "    Require valid-user\n"
                                    "</Location>\n"
                                    "<Location \"/comm/status\">\n"
                                    "    SetHandler commserver-status\n"
                                    "    Require user admin\n"
                                    "</Location>\n";

static const char tls_config[] = "Listen 127.0.0.1:@TLSPORT@\n"
                                 "<VirtualHost 127.0.0.1:@TLSPORT@>\n"
                                 "    ServerName localhost\n"
                                 "    SSLEngine on\n"
                                 "    SSLCertificateFile \"@DIR@/cert.pem\"\n"
                                 "    SSLCertificateKeyFile \"@DIR@/key.pem\"\n"
                                 "</VirtualHost>\n";

/* ---- where httpd is ------------------------------------------------------ */

const char *httpd_program(void)
{
    static const char *const candidates[] = { HTTPD_PROGRAM, "/usr/sbin/apache2",
                                              "/usr/sbin/httpd", NULL };
    int i;

    for (i = 0; candidates[i]; i++)
        if (access(candidates[i], X_OK) == 0)
            return candidates[i];
    return NULL;
}

const char *httpd_user(void)
{
    static const char *const candidates[] = { "www-data", "apache", "nobody", NULL };
    int i;

    for (i = 0; geteuid() == 0 && candidates[i]; i++)
        if (getpwnam(candidates[i]))
            return candidates[i];
    return NULL;
}

const char *const *httpd_environment(const httpd_place *place,
                                     const httpd_options *options)
{
    static const char *environment[6];
    const char *library =
        options->faults ? support_program("tests/support/faults.so") : "";

    environment[0] = "ASAN_OPTIONS=detect_leaks=0:abort_on_error=1";
    environment[1] = "UBSAN_OPTIONS=print_stacktrace=1";
    environment[2] = "TSAN_OPTIONS=halt_on_error=0:ignore_noninstrumented_modules=1";
    environment[3] = support_text("COMM_FAULTS=%s/%s", place->directory, FAULTS_FILE);
    environment[4] = SANITIZER_PRELOAD[0] || *library
                         ? support_text("LD_PRELOAD=%s %s", SANITIZER_PRELOAD, library)
                         : NULL;
    environment[5] = NULL;
    return environment;
}

/* ---- ports, users, certificate ------------------------------------------- */

/* Below the range of which the kernel gives ports to connections, or one of
 * those might sit on the port while httpd restarts. */
static int random_port(void)
{
    unsigned short number = 0;

    if (getrandom(&number, sizeof number, 0) != sizeof number)
        ck_abort_msg("no random number: %s", strerror(errno));
    return PORT_FIRST + number % (PORT_END - PORT_FIRST);
}

/* A socket that is bound to a port nobody uses. */
static int bind_any(int *out_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int i;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (i = 0; i < PORT_TRIES; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        *out_port = random_port();
        address.sin_port = htons(*out_port);
        if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        close(fd);
    }
    ck_abort_msg("no free port: %s", strerror(errno));
    return -1;
}

void httpd_choose_ports(httpd_place *place, int tls)
{
    int first = bind_any(&place->port);
    int second = tls ? bind_any(&place->tls_port) : -1;

    close(first);
    if (second >= 0)
        close(second);
}

/* One line "name:{SHA}..." for each of the names. */
static void write_users(FILE *file, const char *names)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char text[64];
    unsigned len = 0;

    EVP_Digest(HTTPD_PASSWORD, strlen(HTTPD_PASSWORD), digest, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock(text, digest, len);
    while (names && *names) {
        int name_len = strcspn(names, "\n");

        if (name_len > 0)
            fprintf(file, "%.*s:{SHA}%s\n", name_len, names, text);
        names += name_len + (names[name_len] != '\0');
    }
}

static void make_certificate(const char *directory)
{
    process_must((const char *[]){ "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                   "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                                   "30", "-subj", "/CN=localhost", "-addext",
                                   "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                                   support_text("%s/key.pem", directory), "-out",
                                   support_text("%s/cert.pem", directory), NULL });
}

static void make_folder(const char *directory, const char *name)
{
    const char *path = support_text("%s/%s", directory, name);
    struct passwd *user = httpd_user() ? getpwnam(httpd_user()) : NULL;

    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        ck_abort_msg("cannot make '%s': %s", path, strerror(errno));
    if (user && (strcmp(name, "data") == 0 || strcmp(name, HTTPD_CORES) == 0)
        && chown(path, user->pw_uid, user->pw_gid) != 0)
        ck_abort_msg("cannot give '%s' away: %s", path, strerror(errno));
}

static void make_faults(const char *path)
{
    process_write_file(path, "");
    if (truncate(path, sizeof(fault_page)) != 0)
        ck_abort_msg("'%s': %s", path, strerror(errno));
}

void httpd_prepare(const httpd_place *place, const httpd_options *options)
{
    static const char *const folders[] = { "htdocs", "cgi-bin",   "run",
                                           "data",   HTTPD_CORES, NULL };
    FILE *users;
    int i;

    for (i = 0; folders[i]; i++)
        make_folder(place->directory, folders[i]);
    process_write_file(support_text("%s/htdocs/index.html", place->directory),
                       "a page\n");
    users = fopen(support_text("%s/users", place->directory), "we");
    if (!users)
        ck_abort_msg("cannot write the users: %s", strerror(errno));
    write_users(users, users_known);
    write_users(users, options->users);
    fclose(users);
    if (options->tls)
        make_certificate(place->directory);
    if (options->own_module)
        process_must((const char *[]){
            "cp", support_build_path("mod_commserver/.libs/mod_commserver.so"),
            support_text("%s/" HTTPD_MODULE, place->directory), NULL });
    if (options->faults)
        make_faults(support_text("%s/" FAULTS_FILE, place->directory));
}

/* ---- httpd.conf ---------------------------------------------------------- */

/* Print text with its @WORDS@ replaced. */
static void print_filled(FILE *file, const httpd_place *place, const char *text)
{
    const char *port = support_text("%d", place->port);
    const char *tls_port = support_text("%d", place->tls_port);
    const struct {
        const char *word;
        const char *value;
    } words[] = {
        { "@DIR@", place->directory }, { "@PORT@", port },
        { "@TLSPORT@", tls_port },     { "@MODULES@", HTTPD_LIBEXECDIR },
        { "@BUILD@", TEST_BUILD_DIR }, { "@SOURCE@", TEST_SOURCE_DIR },
    };
    unsigned i;

    while (text && *text) {
        for (i = 0; i < sizeof words / sizeof *words; i++)
            if (strncmp(text, words[i].word, strlen(words[i].word)) == 0)
                break;
        if (i < sizeof words / sizeof *words) {
            fputs(words[i].value, file);
            text += strlen(words[i].word);
        }
        else
            fputc(*text++, file);
    }
}

static void print_modules(FILE *file, const char *names)
{
    while (names && *names) {
        int len = strcspn(names, " ");

        if (len > 0)
            fprintf(file,
                    "<IfModule !%.*s_module>\n"
                    "LoadModule %.*s_module \"%s/mod_%.*s.so\"\n"
                    "</IfModule>\n",
                    len, names, len, names, HTTPD_LIBEXECDIR, len, names);
        names += len + strspn(names + len, " ");
    }
}

static int wants_prefork(const httpd_options *options)
{
    return options->mpm && strcmp(options->mpm, "prefork") == 0;
}

int httpd_start_servers(const httpd_options *options)
{
    return options->children ? options->children : wants_prefork(options) ? 8 : 2;
}

/* As the README recommends it for held polls: all children from the start,
 * none ended for being idle. */
static void print_mpm(FILE *file, const httpd_options *options)
{
    const char *mpm = options->mpm ? options->mpm : "event";
    int prefork = wants_prefork(options);
    int children = httpd_start_servers(options);
    int threads = prefork ? 1 : options->threads ? options->threads : 16;

    print_modules(file, support_text("mpm_%s", mpm));
    fprintf(file, "ServerLimit %d\nStartServers %d\nMaxRequestWorkers %d\n", children * 4,
            children, children * threads);
    if (prefork)
        fprintf(file, "MinSpareServers %d\nMaxSpareServers %d\n", children, children + 1);
    else
        fprintf(file,
                "ThreadLimit %d\nThreadsPerChild %d\n"
                "MinSpareThreads %d\nMaxSpareThreads %d\n",
                threads + 16, threads, children * threads, children * threads);
    if (strcmp(mpm, "event") == 0)
        fputs("AsyncRequestWorkerFactor 1000\n", file);
}

static void print_server(FILE *file, const httpd_place *place,
                         const httpd_options *options)
{
    print_filled(file, place,
                 "ServerRoot \"@DIR@\"\n"
                 "ServerName localhost\n"
                 "Listen 127.0.0.1:@PORT@\n"
                 "DefaultRuntimeDir \"@DIR@/run\"\n"
                 "PidFile \"@DIR@/run/httpd.pid\"\n"
                 "DocumentRoot \"@DIR@/htdocs\"\n"
                 "ErrorLog \"@DIR@/error.log\"\n"
                 "LogFormat \"%h %u \\\"%r\\\" %>s %b pid=%P keepalive=%k\" test\n"
                 "CustomLog \"@DIR@/access.log\" test\n"
                 "Timeout 20\n"
                 "KeepAliveTimeout 10\n"
                 "MaxKeepAliveRequests 0\n"
                 "GracefulShutdownTimeout 0\n"
                 "CoreDumpDirectory \"@DIR@/" HTTPD_CORES "\"\n");
    if (!options->no_module)
        fputs("CommServerSegmentSize " SEGMENT_SIZE "\n", file);
    fprintf(file, "LogLevel %s\n", options->log_level ? options->log_level : "info");
    if (httpd_user()) {
        struct group *group = getgrgid(getpwnam(httpd_user())->pw_gid);

        fprintf(file, "User %s\nGroup %s\n", httpd_user(),
                group ? group->gr_name : "nogroup");
    }
}

void httpd_write_config(const httpd_place *place, const httpd_options *options,
                        const char *config)
{
    FILE *file = fopen(support_text("%s/httpd.conf", place->directory), "we");

    if (!file)
        ck_abort_msg("cannot write httpd.conf: %s", strerror(errno));
    print_mpm(file, options);
    print_modules(file, base_modules);
    if (options->debian)
        print_modules(file, debian_modules);
    if (options->tls)
        print_modules(file, "socache_shmcb ssl");
    if (options->http2)
        print_modules(file, "http2");
    print_modules(file, options->modules);
    if (!options->no_module)
        fprintf(file, "LoadModule commserver_module \"%s\"\n",
                options->own_module
                    ? support_text("%s/" HTTPD_MODULE, place->directory)
                    : support_build_path("mod_commserver/.libs/mod_commserver.so"));
    print_server(file, place, options);
    if (options->debian)
        print_filled(file, place, debian_config);
    if (options->http2)
        fputs("Protocols h2 h2c http/1.1\n", file);
    if (!options->bare && !options->no_module)
        print_filled(file, place, places_config);
    print_filled(file, place, config);
    fputc('\n', file);
    if (options->tls)
        print_filled(file, place, tls_config);
    if (fclose(file) != 0)
        ck_abort_msg("cannot write httpd.conf: %s", strerror(errno));
}
