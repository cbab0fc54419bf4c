/*
 * audit_subject.h
 *		Who a row of the audit log is about, and what else its statement's rows
 *		share.
 */
#ifndef RG_AUDIT_SUBJECT_H
#define RG_AUDIT_SUBJECT_H

#include "audit_row.h"
#include "context.h"

/* The columns of relay_guard.audit_log, as sql/36_audit.sql creates them. */
enum
{
	Anum_audit_id, Anum_audit_xid, Anum_audit_occurred_at, Anum_audit_epoch,
	Anum_audit_key_id, Anum_audit_action, Anum_audit_resource_type,
	Anum_audit_resource_id, Anum_audit_actor, Anum_audit_via,
	Anum_audit_session_role, Anum_audit_workspace_id, Anum_audit_api_key_id,
	Anum_audit_session_id, Anum_audit_request_id, Anum_audit_client_ip,
	Anum_audit_source, Anum_audit_status, Anum_audit_old, Anum_audit_new,
	Anum_audit_details, Anum_audit_mac,
	Natts_audit
};

/*
 * Fills in what a statement's rows share: for the MAC, and as columns.  All of it
 * is palloc'd, but for action, resource_type, source and status.
 */
extern void rg_audit_subject(const RgIdentity *identity, const char *action,
							 const char *resource_type, const char *source,
							 const char *status, RgAuditShared *shared,
							 Datum *values, bool *nulls);

/* Text of the server as the MAC takes it in: itself, or palloc'd. */
extern RgSlice rg_audit_utf8(RgSlice text);

#endif
