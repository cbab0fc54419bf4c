/*
 * log_guard.h
 *		Nothing secret in the server's log, whatever is logged.
 */
#ifndef RG_LOG_GUARD_H
#define RG_LOG_GUARD_H

/*
 * First thing in every SQL function that takes a secret: until the client's
 * next message, nothing is logged with its statement or parameters.  This is
 * for calls that the statement's text does not show.
 */
extern void rg_log_guard_secret_used(void);

/*
 * As errcontext(), for an error context callback: the line is logged also
 * where the rest of the context is hidden.  It must hold no secret.
 */
extern void rg_log_guard_context(const char *line);

/*
 * What the text names that takes secrets, or what a prepared statement names
 * that it executes; NULL when there is nothing.
 */
extern const char *rg_log_guard_secret_in(const char *text);

extern void rg_log_guard_init(void);

#endif
