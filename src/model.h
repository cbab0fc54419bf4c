/*
 * model.h
 *		Models that budgets may be spent on, and their prices: this backend's copy
 *		of relay_guard.model.
 */
#ifndef RG_MODEL_H
#define RG_MODEL_H

/*
 * A row of relay_guard.model.  Prices are micro-USD for a million tokens, 0 to
 * RG_MONEY_MAX.
 */
typedef struct RgModel
{
	const char *name;
	const char *provider;
	int32		version;		/* new whenever the row changes; never used
								 * again for that name */
	int64		input_price;
	int64		output_price;
	int64		embedding_price;	/* -1: it makes no embeddings */
	int64		max_input_tokens;
	int64		max_output_tokens;
	bool		enabled;
} RgModel;

/* Registers the cache; called from _PG_init. */
extern void rg_model_init(void);

/*
 * The model of that name, good until the end of the transaction.  Error RG422
 * with the detail model_not_allowed, and the allowed ones in its hint, when
 * there is none or it is not enabled.
 */
extern const RgModel *rg_model_require(const char *name);

/*
 * The one that is used where none is named: of those that are allowed, produce text
 * and are usable, the one whose output costs least, of several the first by name.
 * Error as above when there is none.
 */
extern const RgModel *rg_model_default(bool (*usable) (const RgModel *model));

#endif
