/*
 * log_reader.h
 *		Whoever reads a log from a pipe, and may have stopped reading.
 */
#ifndef RG_LOG_READER_H
#define RG_LOG_READER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A descriptor of the same pipe that never waits in write(): to have been told that there
 * is room is not enough, for another process may fill it in between.  fd itself where that
 * is no pipe, or may not be opened anew.
 */
extern int	rg_log_reader_open(int fd);

/* Is there room for more?  Waits for it until then, by rg_now(). */
extern bool rg_log_reader_has_room(int fd, int64_t until);

#endif
