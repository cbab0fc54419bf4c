/*
 * relay_guard.c
 *		What happens when the library is loaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "account_change.h"
#include "api_key.h"
#include "audit_seal.h"
#include "audit_sealer.h"
#include "audit_witness.h"
#include "cache_change.h"
#include "calendar.h"
#include "completion_order.h"
#include "context.h"
#include "counter.h"
#include "event_order.h"
#include "identity.h"
#include "issuer.h"
#include "keyring.h"
#include "log_guard.h"
#include "model.h"
#include "openapi.h"
#include "promotion.h"
#include "rate.h"
#include "revocation.h"
#include "route.h"
#include "serve.h"
#include "session.h"
#include "stats_guard.h"
#include "strict.h"
#include "upsert.h"
#include "upstream.h"
#include "usage_policy.h"
#include "webhook_message.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	rg_log_guard_init();
	rg_stats_guard_init();
	rg_context_init();
	rg_identity_init();
	rg_keyring_init();
	rg_issuer_init();
	rg_revocation_init();
	rg_api_key_init();
	rg_session_init();
	rg_audit_sealer_init();
	rg_counter_init();
	rg_audit_witness_init();
	rg_audit_seal_init();
	rg_rate_init();
	rg_account_change_init();
	rg_promotion_init();
	rg_calendar_init();
	rg_cache_change_init();
	rg_usage_policy_init();
	rg_model_init();
	rg_upstream_init();
	rg_route_init();
	rg_event_order_init();
	rg_completion_init();
	rg_webhook_message_init();
	rg_openapi_init();
	rg_serve_init();
	rg_strict_init();
	rg_upsert_init();
	MarkGUCPrefixReserved("relay_guard");
}
