/*
 * lint.h
 *		What relay_guard.lint() finds, into the log, when the gateway starts.
 */
#ifndef RG_LINT_H
#define RG_LINT_H

#include <libpq-fe.h>
#include <stdbool.h>

/*
 * Asks on a connection that is ready, and logs a line a finding, errors first,
 * of a very long list the beginning.  False when there is an error among them.
 * A database that cannot answer, as its extension is older or the role may not
 * call lint(), is logged and has no errors: every connection's own check still
 * stands.
 */
extern bool rg_lint_passes(PGconn *conn)
			__attribute__((warn_unused_result));

#endif
