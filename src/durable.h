/*
 * durable.h
 *		Commits that no session setting can lose.
 */
#ifndef RG_DURABLE_H
#define RG_DURABLE_H

/*
 * When this transaction's COMMIT returns, it is on the disk, and on the synchronous
 * standbys where there are any, whatever synchronous_commit is.
 */
extern void rg_commit_durably(void);

#endif
