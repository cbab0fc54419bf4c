/*
 * secret_words.h
 *		Which SQL holds secrets: a lexer that errs to the safe side.
 *
 * It looks into strings, dollar quotes and comments as well, since SQL stands
 * in them: in DO blocks, in EXECUTE, in PL/pgSQL's error contexts, in the plans
 * of auto_explain, JSON and XML included.  Text of any encoding that PostgreSQL
 * has on the server, whole or cut off.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_SECRET_WORDS_H
#define RG_SECRET_WORDS_H

#include "slice.h"

/*
 * What the text names first that takes secrets, for a message: a call of one of
 * the functions in the table of secret_words.c, whatever its schema, a relation
 * that begins with decrypted_, or any name in U&"".  NULL when it names none;
 * then *execute is the text behind its first EXECUTE, absent where there is none.
 */
extern const char *rg_secret_word(RgSlice text, RgSlice *execute);

/*
 * Whether a value may stand in the text: there is a quote of any kind, or a
 * number other than a parameter's ($1).
 */
extern bool rg_sql_has_literal(RgSlice text);

/*
 * The next prepared statement that is named in such a text, as it stands there:
 * with its quotes, if it has any, or with a $ that may as well belong to what
 * follows.  *execute goes on behind the next EXECUTE.  False when there is none.
 */
extern bool rg_sql_next_prepared(RgSlice *execute, RgSlice *name);

#endif
