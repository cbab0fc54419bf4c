/*
 * open_cursors.h
 *		Whether cursors are open.
 */
#ifndef RG_OPEN_CURSORS_H
#define RG_OPEN_CURSORS_H

/*
 * Whether this session has open cursors: those of SQL and of functions, and
 * portals of the client; the statement that runs is none unless its portal has
 * a name.
 */
extern bool rg_open_cursors(void);

#endif
