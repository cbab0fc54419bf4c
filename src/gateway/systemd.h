/*
 * systemd.h
 *		Sockets that systemd has opened for us (sd_listen_fds(3)), and what it is
 *		told (sd_notify(3)).  Without systemd all of this does nothing.
 */
#ifndef RG_SYSTEMD_H
#define RG_SYSTEMD_H

#include <stdbool.h>

/*
 * Takes over the listening sockets that the environment tells of (LISTEN_PID,
 * LISTEN_FDS), non-blocking and close-on-exec, and takes them out of the
 * environment.  Returns how many, 0 when none were passed; -1, with *why, when
 * they cannot be used.
 */
extern int	rg_systemd_sockets(int *sockets, int room, const char **why)
			__attribute__((warn_unused_result));

/* Sends assignments such as "READY=1" to NOTIFY_SOCKET. */
extern void rg_systemd_notify(const char *state);

/* Says that the configuration is being read again; READY=1 ends that. */
extern void rg_systemd_notify_reload(void);

#endif
