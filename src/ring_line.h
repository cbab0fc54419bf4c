/*
 * ring_line.h
 *		One line of a key ring file; ring.h describes it.
 *
 * Pure C.
 */
#ifndef RG_RING_LINE_H
#define RG_RING_LINE_H

#include "ring.h"

/* Room for a key's line with its newline and NUL. */
#define RG_RING_LINE_SIZE 96

/* How much longer a line becomes when its state changes, at most. */
#define RG_RING_STATE_GROWTH 8

/* Takes the next line, without its newline. */
extern RgSlice rg_ring_take_line(RgSlice *text);

/* Whether the line is to hold a key, that is neither blank nor a comment. */
extern bool rg_ring_line_has_key(RgSlice line);

/* Reads a key.  What is wrong with the line, or NULL. */
extern const char *rg_ring_line_read(RgSlice line, RgRingKey *key)
			__attribute__((warn_unused_result));

/* Writes the line of a key, newline and NUL included; returns its length. */
extern size_t rg_ring_line_write(const RgRingKey *key, char line[RG_RING_LINE_SIZE]);

/*
 * Copies a line that holds a key and gives it another state; all else in it
 * stays byte for byte.  out has line.len + RG_RING_STATE_GROWTH.  Returns the
 * length.
 */
extern size_t rg_ring_line_restate(RgSlice line, RgKeyState state, char *out);

/* Makes a key of random bytes that was created now. */
extern void rg_ring_key_new(RgRingKey *key, uint32_t id, RgKeyState state);

/*
 * The id of a new ring's first key: six digits by chance.  Were it always 1, a
 * ring that is made in the place of a lost one would name its keys like those,
 * and what the lost ones sealed would seem to be tampered with, not locked.
 */
extern uint32_t rg_ring_first_id(void);

/* "primary", "active" or "retired" */
extern const char *rg_ring_state_name(RgKeyState state);

#endif
