/*
 * config.c
 *		The gateway's settings; config.h has the contract.
 *
 * All of them stand in one table, which reading, --check and --help share.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "edge_config.h"
#include "config_names.h"
#include "configure.h"
#include "env_file.h"
#include "http1.h"
#include "keys_fetch.h"
#include "lane.h"
#include "log.h"
#include "session_config.h"
#include "tls.h"
#include "webhook_config.h"

typedef enum Kind
{
	TEXT,
	CONNINFO,					/* libpq's; its password is masked */
	URL,						/* its query is masked */
	NUMBER,
	BYTES,						/* 1048576, 1024k or 1M */
	DURATION,					/* 10, 10s, 500ms or 2min */
	CHOICE						/* one of a list; the number is its place */
} Kind;

typedef struct Setting
{
	const char *name;
	Kind		kind;
	size_t		offset;			/* of a char * or int64_t in RgConfig */
	const char *fallback;
	int64_t		min;			/* DURATION: microseconds */
	int64_t		max;
	const char *help;			/* CHOICE: the choices, then the text */
} Setting;

typedef struct Unit
{
	const char *suffix;
	int64_t		factor;
} Unit;

#define SECOND INT64_C(1000000)
#define FIELD(name) offsetof(RgConfig, name)

static const Setting settings[] = {
	{"LISTEN", TEXT, FIELD(listen_text), "127.0.0.1:8080", 0, 0,
	"address:port, [address]:port or unix:/path"},
	{"TLS_CERTIFICATE", TEXT, FIELD(tls_certificate), "", 0, 0,
	"PEM file of the certificate, and of those that vouch for it; empty: no TLS"},
	{"TLS_KEY", TEXT, FIELD(tls_key), "", 0, 0,
	"PEM file of its key"},
	{"RELAY_PORT", NUMBER, FIELD(port), "0", 0, 65535,
	"takes the place of LISTEN's port, unless 0"},
	{"WORKERS", NUMBER, FIELD(workers), "0", 0, 256,
	"processes that serve; 0 for one a processor"},
	{"ENVIRONMENT", CHOICE, FIELD(environment), "development", 0, 0,
	"development|test|staging|production: what the gateway is used for"},
	{"DATABASE_URL", CONNINFO, FIELD(database_url), "", 0, 0,
	"how the gateway's role connects; empty: as libpq's environment says"},
	{"DB_READ_CONNECTIONS", NUMBER, FIELD(read_connections), "2", 1, 8,
	"connections of a worker for GET and HEAD"},
	{"DB_WRITE_CONNECTIONS", NUMBER, FIELD(write_connections), "0", 0, RG_LANE_MAX,
	"connections of a worker for the other methods; 0 for 32 of all workers: 2 to 16 each"},
	{"DB_SLOW_CONNECTIONS", NUMBER, FIELD(slow_connections), "2", 1, 8,
	"connections of a worker for routes that are marked slow"},
	{"DB_PIPELINE_DEPTH", NUMBER, FIELD(pipeline_depth), "16", 1, 32,
	"requests that may be under way on a connection"},
	{"QUEUE_LIMIT", NUMBER, FIELD(queue_limit), "1024", 0, 65536,
	"requests of a worker that may wait for a connection"},
	{"PROXY_LIMIT", NUMBER, FIELD(proxy_limit), "256", 1, 65536,
	"requests of a worker that may be with upstreams at once"},
	{"COMPLETION_LIMIT", NUMBER, FIELD(completion_limit), "1024", 1, 65536,
	"requests of a worker that may be with providers of language models at once"},
	{"PROXY_CA_FILE", TEXT, FIELD(proxy_ca_file), "", 0, 0,
	"authorities that upstreams' certificates are of; empty: the system's"},
	{"WEBHOOKS", CHOICE, FIELD(webhooks), "on", 0, 0,
	"on|off: what webhook_send() put into the database is sent to its receivers"},
	{"WEBHOOK_LIMIT", NUMBER, FIELD(webhook_limit), "64", 1, 4096,
	"webhooks of a worker that may be with receivers at once"},
	{"WEBHOOK_ALLOW_NETWORKS", TEXT, FIELD(webhook_networks_text), "", 0, 0,
	"networks that receivers may be in though they are not public, separated by commas"},
	{"WEBHOOK_CA_FILE", TEXT, FIELD(webhook_ca_file), "", 0, 0,
	"authorities that receivers' certificates may be of, beside the system's"},
	{"DENY_CACHE", CHOICE, FIELD(deny_cache), "on", 0, 0,
	"on|off: refusals by limits are repeated from memory, for 5 s at most"},
	{"RESPONSE_CACHE", BYTES, FIELD(response_cache), "16M", 0, INT64_C(1) << 40,
	"bodies that a worker keeps of routes with cache_seconds; 0: none"},
	{"GZIP", CHOICE, FIELD(gzip), "on", 0, 0,
	"on|off: answers over 1 kB are compressed for clients that take it"},
	{"REQUEST_TIMEOUT", DURATION, FIELD(request_timeout), "10s", SECOND / 10, 3600 * SECOND,
	"after which a request is answered with 503 or 504"},
	{"SLOW_TIMEOUT", DURATION, FIELD(slow_timeout), "60s", SECOND / 10, 24 * 3600 * SECOND,
	"the same for routes that are marked slow"},
	{"HEADER_TIMEOUT", DURATION, FIELD(header_timeout), "10s", SECOND / 10, 3600 * SECOND,
	"within which the head of a request must have come"},
	{"IDLE_TIMEOUT", DURATION, FIELD(idle_timeout), "60s", SECOND / 10, 24 * 3600 * SECOND,
	"after which an idle connection is closed"},
	{"WRITE_TIMEOUT", DURATION, FIELD(write_timeout), "30s", SECOND / 10, 3600 * SECOND,
	"after which a client is cut off that takes less than 1 kB/s of its answer"},
	{"DRAIN_TIMEOUT", DURATION, FIELD(drain_timeout), "10s", 0, 3600 * SECOND,
	"that requests have to finish in when the gateway is stopped"},
	{"STREAM_LIFETIME", DURATION, FIELD(stream_lifetime), "15min", 0, 24 * 3600 * SECOND,
	"after which a client that follows events has to come back and be checked anew; 0: never"},
	{"MAX_CONNECTIONS", NUMBER, FIELD(max_connections), "10000", 1, 1000000,
	"connections of all clients together"},
	{"MAX_BODY", BYTES, FIELD(max_body), "1M", 0, 1 << 30,
	"largest body of a request"},
	{"MAX_BODY_MEMORY", BYTES, FIELD(max_body_memory), "256M", 1 << 20, INT64_C(1) << 40,
	"all bodies that a worker holds together"},
	{"MAX_OUTPUT_MEMORY", BYTES, FIELD(max_output_memory), "256M", 1 << 20, INT64_C(1) << 40,
	"all answers that a worker keeps for clients that read slowly"},
	{"ALLOWED_HOSTS", TEXT, FIELD(allowed_hosts_text), "", 0, 0,
	"names that Host may have, separated by commas; empty: any"},
	{"TRUSTED_PROXIES", TEXT, FIELD(trusted_proxies_text), "", 0, 0,
	"networks whose X-Forwarded-For and -Proto are believed, separated by commas"},
	{"PROXY_PROTOCOL", CHOICE, FIELD(proxy_protocol), "off", 0, 0,
	"on|off: every connection begins with a PROXY protocol header, version 2, of a trusted proxy"},
	{"MAX_CONNECTIONS_PER_IP", NUMBER, FIELD(max_connections_per_ip), "0", 0, 1000000,
	"connections of one address to a worker, IPv6 by /64; 0: no limit"},
	{"CORS_ORIGINS", TEXT, FIELD(cors_text), "", 0, 0,
	"origins whose pages may read answers, separated by commas; *: any, without cookies"},
	{"CORS_HEADERS", TEXT, FIELD(cors_headers), "", 0, 0,
	"further request headers that those pages may send, separated by commas"},
	{"HTTPS_PORT", NUMBER, FIELD(https_port), "443", 1, 65535,
	"where redirects from http lead in production"},
	{"CSP_CONNECT_SRC", TEXT, FIELD(csp_connect_src), "", 0, 0,
	"what the gateway's pages may connect to beside 'self', separated by blanks"},
	{"CONTENT_SECURITY_POLICY", TEXT, FIELD(content_security_policy), "", 0, 0,
	"a whole policy in place of the usual one; off: none"},
	{"X_FRAME_OPTIONS", TEXT, FIELD(frame_options), "DENY", 0, 0,
	"the header's value, as of all that follow; off: none"},
	{"REFERRER_POLICY", TEXT, FIELD(referrer_policy), "no-referrer", 0, 0, "its value"},
	{"CROSS_ORIGIN_OPENER_POLICY", TEXT, FIELD(opener_policy), "same-origin", 0, 0, "its value"},
	{"CROSS_ORIGIN_RESOURCE_POLICY", TEXT, FIELD(resource_policy), "same-origin", 0, 0, "its value"},
	{"PERMISSIONS_POLICY", TEXT, FIELD(permissions_policy),
		"accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()", 0, 0,
	"its value"},
	{"STRICT_TRANSPORT_SECURITY", TEXT, FIELD(transport_security),
		"max-age=31536000; includeSubDomains; preload", 0, 0,
	"its value, sent in production by https"},
	{"LOG_LEVEL", CHOICE, FIELD(log_level), "info", 0, 0,
	"debug|info|warning|error: what is written to stderr"},
	{"ACCESS_LOG", TEXT, FIELD(access_log), "-", 0, 0,
	"a file, - for stdout, or off"},
	{"METRICS_LISTEN", TEXT, FIELD(metrics_listen_text), "127.0.0.1:9464", 0, 0,
	"where /metrics is answered, as LISTEN, or off"},
	{"AUDIT_ANCHOR_INTERVAL", DURATION, FIELD(anchor_interval), "60s", 0, 24 * 3600 * SECOND,
	"how often the access log takes down the audit log's last seal; 0: never"},
	{"WEB_ROOT", TEXT, FIELD(web_root), "", 0, 0,
	"folder of the static pages; empty: the installed one, or ./web"},
	{"SUPABASE_JWKS_URL", URL, FIELD(jwks_url), "", 0, 0,
	"where the identity provider publishes its keys; empty: they are not fetched"},
	{"SUPABASE_JWT_ISS", TEXT, FIELD(jwt_iss), "supabase", 0, 0,
	"the issuer whose keys they are"},
	{"KEYS_DATABASE_URL", CONNINFO, FIELD(keys_database_url), "", 0, 0,
	"how the role connects that imports them; empty: DATABASE_PUBLIC_URL"},
	{"DATABASE_PUBLIC_URL", CONNINFO, FIELD(owner_database_url), "", 0, 0,
	"how the owner connects, for configure"},
	{"ALLOW_DEV_ROUTES", CHOICE, FIELD(allow_dev_routes), "0", 0, 0,
	"0|1|false|true|off|on: POST /api/dev/demo/login signs everybody in; not in production"},
	{"COOKIE_SECURE", CHOICE, FIELD(cookie_secure), "auto", 0, 0,
	"auto|true|false: sessions over https alone; auto: not where ENVIRONMENT is development or test"},
	{"COOKIE_SAMESITE", CHOICE, FIELD(cookie_samesite), "lax", 0, 0,
	"lax|strict|none|Lax|Strict|None: which requests of other sites have a session's cookie"},
};

#define NSETTINGS (sizeof settings / sizeof settings[0])

static char **
text_of(const RgConfig *config, const Setting *setting)
{
	return (char **) ((char *) config + setting->offset);
}

static int64_t *
number_of(const RgConfig *config, const Setting *setting)
{
	return (int64_t *) ((char *) config + setting->offset);
}

static bool
is_text(const Setting *setting)
{
	return setting->kind == TEXT || setting->kind == CONNINFO || setting->kind == URL;
}

static bool
parse_with_units(const char *text, const Unit *units, int64_t *number)
{
	char	   *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoll(text, &end, 10);
	for (; errno == 0 && units->suffix != NULL; units++)
		if (strcmp(end, units->suffix) == 0)
			return !__builtin_mul_overflow(*number, units->factor, number);
	return false;
}

static bool
parse_choice(const char *text, const char *choices, int64_t *number)
{
	size_t		len = strlen(text);

	for (*number = 0; len > 0; ++*number)
	{
		size_t		run = strcspn(choices, "|:");

		if (run == len && memcmp(choices, text, len) == 0)
			return true;
		if (choices[run] == ':')
			return false;
		choices += run + 1;
	}
	return false;
}

static bool
parse_number(const Setting *setting, const char *text, int64_t *number)
{
	static const Unit none[] = {{"", 1}, {NULL, 0}};
	static const Unit bytes[] = {{"", 1}, {"k", 1 << 10}, {"M", 1 << 20},
	{"G", 1 << 30}, {NULL, 0}};
	static const Unit durations[] = {{"", SECOND}, {"s", SECOND}, {"ms", 1000},
	{"min", 60 * SECOND}, {NULL, 0}};

	if (setting->kind == CHOICE)
		return parse_choice(text, setting->help, number);
	return parse_with_units(text, setting->kind == BYTES ? bytes :
							setting->kind == DURATION ? durations : none, number) &&
		*number >= setting->min && *number <= setting->max;
}

/* What a value may be, for the message that refuses one. */
static void
describe(const Setting *setting, FILE *out)
{
	if (setting->kind == CHOICE)
		fprintf(out, "one of %.*s", (int) strcspn(setting->help, ":"), setting->help);
	else if (setting->kind == DURATION)
		fprintf(out, "a duration such as 10s or 500ms, from %" PRId64 "ms to %" PRId64 "s",
				setting->min / 1000, setting->max / SECOND);
	else
		fprintf(out, "a number from %" PRId64 " to %" PRId64 "%s", setting->min,
				setting->max, setting->kind == BYTES ? ", or with k, M or G" : "");
}

static bool
check_conninfo(const char *name, const char *value, FILE *errors)
{
	char	   *error = NULL;
	PQconninfoOption *options = PQconninfoParse(value, &error);
	bool		valid = options != NULL;

	/* libpq's message may repeat what it could not read, password and all */
	if (!valid)
		fprintf(errors, "%s must be a libpq connection string or a postgresql:// URL\n", name);
	PQconninfoFree(options);
	PQfreemem(error);
	return valid;
}

static bool
read_setting(RgConfig *config, const Setting *setting, const char *value, FILE *errors)
{
	if (is_text(setting))
	{
		*text_of(config, setting) = strdup(value);
		return setting->kind != CONNINFO || check_conninfo(setting->name, value, errors);
	}
	if (parse_number(setting, value, number_of(config, setting)))
		return true;
	fprintf(errors, "%s is \"%s\", but must be ", setting->name, value);
	describe(setting, errors);
	fputc('\n', errors);
	return false;
}

static const char *
lookup(const RgEnvFile *file, const Setting *setting)
{
	const char *value = rg_env_setting(file, setting->name);

	return value != NULL ? value : setting->fallback;
}

static bool
read_settings(RgConfig *config, const RgEnvFile *file, FILE *errors)
{
	bool		valid = true;

	for (size_t i = 0; i < NSETTINGS; i++)
		if (!read_setting(config, &settings[i], lookup(file, &settings[i]), errors))
			valid = false;
	return valid;
}

static bool
derive_listen(RgConfig *config, FILE *errors)
{
	if (rg_listen_parse(config->listen_text, config->port, &config->listen))
		return true;
	fprintf(errors, "LISTEN is \"%s\", but must be address:port, [address]:port "
			"or unix:/path\n", config->listen_text);
	return false;
}

static bool
derive_metrics_listen(RgConfig *config, FILE *errors)
{
	if (strcmp(config->metrics_listen_text, "off") == 0 ||
		(rg_listen_parse(config->metrics_listen_text, 0, &config->metrics_listen) &&
		 !rg_listen_same(&config->listen, &config->metrics_listen)))
		return true;
	fprintf(errors, "METRICS_LISTEN is \"%s\", but must be address:port, [address]:port, "
			"unix:/path or off, and not where LISTEN is\n", config->metrics_listen_text);
	return false;
}

static bool
derive_proxies(RgConfig *config, FILE *errors)
{
	const char *text = config->trusted_proxies_text;
	RgSlice		bad;

	if (rg_networks_parse(rg_slice(text, strlen(text)), &config->trusted_proxies, &bad))
		return true;
	fprintf(errors, "TRUSTED_PROXIES holds \"%.*s\", which is no network such as "
			"10.0.0.0/8, or there are more than %d\n", (int) bad.len, bad.data,
			RG_MAX_NETWORKS);
	return false;
}

static void
derive_workers(RgConfig *config)
{
	long		processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (config->workers == 0)
		config->workers = processors < 1 ? 1 : processors > 256 ? 256 : processors;
}

/* As many commits as that share a flush of the disk; more of them wait in turn. */
static void
derive_write_connections(RgConfig *config)
{
	int64_t		share = 32 / config->workers;

	if (share > RG_LANE_MAX)
		share = RG_LANE_MAX;
	if (config->write_connections == 0)
		config->write_connections = share < 2 ? 2 : share;
}

static bool
check_web_root(const RgConfig *config, FILE *errors)
{
	if (access(config->web_root, R_OK | X_OK) == 0)
		return true;
	fprintf(errors, "WEB_ROOT names %s, which cannot be read: %s\n",
			config->web_root, strerror(errno));
	return false;
}

/* A missing default folder only means that there are no static pages. */
static bool
derive_web_root(RgConfig *config, FILE *errors)
{
	if (*config->web_root != '\0')
		return check_web_root(config, errors);
	free(config->web_root);
	config->web_root = strdup(access(RG_WEB_ROOT, R_OK) == 0 ? RG_WEB_ROOT : "web");
	return true;
}

static bool
check_proxy_ca(const RgConfig *config, FILE *errors)
{
	if (*config->proxy_ca_file == '\0' || access(config->proxy_ca_file, R_OK) == 0)
		return true;
	fprintf(errors, "PROXY_CA_FILE names %s, which cannot be read: %s\n",
			config->proxy_ca_file, strerror(errno));
	return false;
}

static bool
check_jwks_url(const RgConfig *config, FILE *errors)
{
	if (rg_keys_url_allowed(config->jwks_url, config->environment != RG_PRODUCTION))
		return true;
	fputs("SUPABASE_JWKS_URL must be an https:// URL without user and password; http:// "
		  "only of a loopback address, or where ENVIRONMENT is not production\n", errors);
	return false;
}

static bool
check_keys_database(const RgConfig *config, FILE *errors)
{
	if (*config->keys_database_url != '\0')
		return true;
	fputs("KEYS_DATABASE_URL or DATABASE_PUBLIC_URL must be set where SUPABASE_JWKS_URL is: "
		  "the gateway's own role must not import keys\n", errors);
	return false;
}

static bool
derive_keys(RgConfig *config, FILE *errors)
{
	if (*config->jwks_url == '\0')
		return true;
	if (*config->keys_database_url == '\0')
	{
		free(config->keys_database_url);
		config->keys_database_url = strdup(config->owner_database_url);
	}
	return check_jwks_url(config, errors) & check_keys_database(config, errors);
}

static RgConfig *
load(FILE *errors, bool to_serve)
{
	RgConfig   *config = calloc(1, sizeof *config);
	RgEnvFile	file;
	bool		valid;

	if (config == NULL)
		return NULL;
	valid = rg_env_file_configured(&file, errors);
	valid &= rg_config_names_check(&file, errors);
	valid &= !to_serve || rg_configure_check(&file);
	valid &= read_settings(config, &file, errors);
	rg_env_file_free(&file);
	valid &= derive_listen(config, errors);
	valid &= derive_metrics_listen(config, errors);
	valid &= derive_proxies(config, errors);
	valid &= rg_edge_config(config, errors);
	valid &= derive_web_root(config, errors);
	valid &= check_proxy_ca(config, errors);
	valid &= derive_keys(config, errors);
	valid &= rg_webhook_config(config, errors);
	valid &= rg_session_config_derive(config, errors);
	valid &= !to_serve || rg_tls_load(config->tls_certificate, config->tls_key, errors,
									  &config->tls);
	derive_workers(config);
	derive_write_connections(config);
	if (valid)
		return config;
	rg_config_free(config);
	return NULL;
}

RgConfig *
rg_config_load(FILE *errors)
{
	return load(errors, false);
}

RgConfig *
rg_config_load_to_serve(FILE *errors)
{
	return load(errors, true);
}

void
rg_config_free(RgConfig *config)
{
	rg_tls_free(config->tls);
	for (size_t i = 0; i < NSETTINGS; i++)
		if (is_text(&settings[i]))
			free(*text_of(config, &settings[i]));
	free(config);
}

static void
print_conninfo(const char *value, FILE *out)
{
	PQconninfoOption *options = PQconninfoParse(value, NULL);

	for (PQconninfoOption *option = options; option && option->keyword; option++)
		if (option->val != NULL)
			fprintf(out, "%s=%s ", option->keyword,
					*option->dispchar != '\0' ? "****" : option->val);
	PQconninfoFree(options);
}

/* Behind the ? may stand an API key. */
static void
print_url(const char *value, FILE *out)
{
	size_t		len = strcspn(value, "?");

	fprintf(out, "%.*s%s", (int) len, value, value[len] ? "?****" : "");
}

static void
print_choice(const char *choices, int64_t number, FILE *out)
{
	while (number-- > 0)
		choices += strcspn(choices, "|") + 1;
	fprintf(out, "%.*s", (int) strcspn(choices, "|:"), choices);
}

static void
print_value(const RgConfig *config, const Setting *setting, FILE *out)
{
	switch (setting->kind)
	{
		case TEXT:
			fputs(*text_of(config, setting), out);
			break;
		case CONNINFO:
			print_conninfo(*text_of(config, setting), out);
			break;
		case URL:
			print_url(*text_of(config, setting), out);
			break;
		case CHOICE:
			print_choice(setting->help, *number_of(config, setting), out);
			break;
		case DURATION:
			fprintf(out, "%" PRId64 "ms", *number_of(config, setting) / 1000);
			break;
		default:
			fprintf(out, "%" PRId64, *number_of(config, setting));
	}
}

void
rg_config_print(const RgConfig *config, FILE *out)
{
	for (size_t i = 0; i < NSETTINGS; i++)
	{
		fprintf(out, "%s=", settings[i].name);
		print_value(config, &settings[i], out);
		fputc('\n', out);
	}
}

const char *
rg_config_name(size_t number)
{
	return number < NSETTINGS ? settings[number].name : NULL;
}

void
rg_config_help(FILE *out)
{
	for (size_t i = 0; i < NSETTINGS; i++)
		fprintf(out, "  %-21s %s (%s)\n", settings[i].name, settings[i].help,
				*settings[i].fallback ? settings[i].fallback : "empty");
}

static bool
equal_ignoring_case(RgSlice name, const char *other, size_t len)
{
	return name.len == len && strncasecmp(name.data, other, len) == 0;
}

bool
rg_config_host_allowed(const RgConfig *config, RgSlice host)
{
	const char *at = config->allowed_hosts_text;

	if (*at == '\0')
		return true;
	while (host.data != NULL && *at != '\0')
	{
		size_t		len;

		at += strspn(at, ", \t");
		len = strcspn(at, ", \t");
		if (len > 0 && equal_ignoring_case(rg_http_host_name(host), at, len))
			return true;
		at += len;
	}
	return false;
}
