/*
 * configure.h
 *		What the parts of relay_gateway configure share.
 */
#ifndef RG_CONFIGURE_H
#define RG_CONFIGURE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "env_file.h"

/* Of the environment or RELAY_CONFIG; the fallback where it is absent or empty. */
extern const char *rg_setting(const char *name, const char *fallback);

/* Runs a statement with text parameters; what goes wrong is told on stderr. */
extern bool rg_sql_run(PGconn *conn, const char *sql, int count, const char *const *values)
			__attribute__((warn_unused_result));

/*
 * The same; *value becomes a copy of the first column of the first row, NULL
 * when there is no row.
 */
extern bool rg_sql_look_up(PGconn *conn, const char *sql, int count,
						   const char *const *values, char **value)
			__attribute__((warn_unused_result));

/* The same; the row, if there is one, is what the thing named has become: told. */
extern bool rg_sql_change(PGconn *conn, const char *sql, int count,
						  const char *const *values, const char *what)
			__attribute__((warn_unused_result));

/*
 * Each part: whether its settings can be used, every mistake told on stderr;
 * then what they say, into the tables.
 */
extern bool rg_check_token_settings(void);
extern bool rg_configure_tokens(PGconn *conn)
			__attribute__((warn_unused_result));
extern bool rg_check_limit_settings(void);
extern bool rg_configure_limits(PGconn *conn)
			__attribute__((warn_unused_result));
extern bool rg_check_budget_settings(void);
extern bool rg_configure_budget(PGconn *conn)
			__attribute__((warn_unused_result));
extern bool rg_check_api_key_settings(void);
extern bool rg_configure_api_keys(PGconn *conn)
			__attribute__((warn_unused_result));
extern bool rg_check_provider_settings(void);
extern bool rg_configure_provider(PGconn *conn)
			__attribute__((warn_unused_result));

/*
 * Whether the settings of all parts can be used, every mistake told on stderr, also
 * where they are only in the environment of a gateway that serves.
 */
extern bool rg_configure_check(const RgEnvFile *settings)
			__attribute__((warn_unused_result));

/* A secret of 32 bytes or more, or none; else false and a message. */
extern bool rg_check_secret_setting(const char *name);

/* Whether ENVIRONMENT is production. */
extern bool rg_in_production(void);

#endif
