"""What relay_gateway does besides serving."""
import base64
import hashlib
import re
import shutil
import subprocess

import psycopg2
import pytest

from conftest import Postgres, clean_environment, gateway_binary, running, wait_until

SECRET = "a secret of more than 32 characters"
ADMIN = "an-admin-key-of-the-tests-8f2b71c90e"
DEV = "a-developer's-key-of-the-tests-41d7ac"
PROVIDER_KEY = "sk-proj-of-the-tests-0123456789"


def run(*arguments, **settings):
    return subprocess.run([gateway_binary(), *map(str, arguments)], capture_output=True, text=True,
                          env=clean_environment(**settings))


def test_check_prints_settings_and_hides_secrets():
    done = run("--check", DATABASE_URL="postgresql://me:hunter2@db/relay", RELAY_PORT=1234,
               REQUEST_TIMEOUT="2min", MAX_BODY="2M")
    assert done.returncode == 0 and "hunter2" not in done.stdout + done.stderr
    for line in ("RELAY_PORT=1234", "REQUEST_TIMEOUT=120000ms", "MAX_BODY=2097152",
                 "ENVIRONMENT=development"):
        assert line in done.stdout.splitlines()
    assert "password=****" in done.stdout


def test_check_names_every_mistake():
    mistakes = dict(LISTEN="nowhere", WORKERS="-1", ENVIRONMENT="prod", REQUEST_TIMEOUT="soon",
                    MAX_BODY="1T", TRUSTED_PROXIES="10.0.0.0/8,10.0.0.0/99", LOG_LEVEL="loud",
                    WEB_ROOT="/nonexistent", DATABASE_URL="postgresql://me:hunter2@[", RELAY_CONFIG="/nonexistent")
    for arguments in (["--check"], []):
        done = run(*arguments, **mistakes)
        assert done.returncode == 1 and "hunter2" not in done.stderr
        named = {line.split()[0] for line in done.stderr.splitlines()}
        assert named == set(mistakes)


def test_check_knows_the_settings_of_configure():
    done = run("--check", SUPABASE_JWT_SECRET=SECRET, RATE_LIMIT_REQUESTS=5, ADMIN_API_KEY=ADMIN, OPENAI_API_KEY=PROVIDER_KEY,
               OPENAI_BASE_URL="http://localhost:8000/v1")
    assert done.returncode == 0 and not any(secret in done.stdout for secret in (SECRET, ADMIN, PROVIDER_KEY))
    assert {"OPENAI_API_KEY=****", "OPENAI_BASE_URL=http://localhost:8000/v1", "SUPABASE_JWT_SECRET=****", "RATE_LIMIT_REQUESTS=5", "ADMIN_API_KEY=****"} <= set(done.stdout.splitlines())
    for arguments in ["--check"], []:
        wrong = run(*arguments, RATE_LIMIT_WINDOW="soon", SUPABASE_JWT_SECRET="short", WORKERS="many")
        assert wrong.returncode == 1
        assert {line.split()[0] for line in wrong.stderr.splitlines()} == \
            {"RATE_LIMIT_WINDOW", "SUPABASE_JWT_SECRET", "WORKERS"}


def test_a_misspelt_setting_is_not_silence(tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("# of the gateway\nTRUSTED_PROXYS=10.0.0.0/8\nCOLOUR=red\nPGSSLMODE=require\n"
                        "LLM_BUDGET_DAILY_USD=20\n")
    for arguments in ["--check"], []:
        done = run(*arguments, RELAY_CONFIG=settings)
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            "TRUSTED_PROXYS in RELAY_CONFIG is no setting; was TRUSTED_PROXIES meant?",
            "COLOUR in RELAY_CONFIG is no setting; relay_gateway --help lists them"]
    # the environment is everybody's
    done = run("--check", MAX_CONECTIONS=5, RELAY_PROT=8081, COLOUR="red", ACTIONS_SIGNING_SECRET="sk-1")
    assert done.returncode == 0 and "sk-1" not in done.stdout
    assert set(done.stderr.splitlines()) == {
        "warning: MAX_CONECTIONS in the environment is no setting; was MAX_CONNECTIONS meant?",
        "warning: RELAY_PROT in the environment is no setting; was RELAY_PORT meant?",
        "warning: ACTIONS_SIGNING_SECRET is set, but nothing reads it"}


def test_every_setting_of_the_conventions_is_known(tmp_path):
    names = ("DATABASE_URL DATABASE_PUBLIC_URL ENVIRONMENT CORS_ORIGINS SUPABASE_JWT_SECRET SUPABASE_JWKS_URL "
             "RATE_LIMIT_ENABLED RATE_LIMIT_REQUESTS RATE_LIMIT_WINDOW RATE_LIMIT_EXEC_PER_MIN ACTIONS_SIGNING_SECRET "
             "LLM_BUDGET_DAILY_USD OPENAI_API_KEY OPENAI_BASE_URL ALLOW_DEV_ROUTES COOKIE_SECURE COOKIE_SAMESITE "
             "LOG_LEVEL ADMIN_API_KEY FEATURE_FLAG_MAGIC_BOX").split()
    settings = tmp_path / "settings"
    settings.write_text("".join(f"{name}=\n" for name in names))
    done = run("--check", RELAY_CONFIG=settings)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_and_check_name_the_same_settings():
    names = [line.split("=")[0] for line in run("--check").stdout.splitlines()]
    told = [line.split()[0] for line in run("--help").stdout.split("RELAY_CONFIG names:")[1].splitlines() if line]
    assert told == names and len(names) == len(set(names))


def test_metrics_have_another_place_than_clients():
    done = run("--check", LISTEN="127.0.0.1:9464", METRICS_LISTEN="127.0.0.1:9464")
    assert done.returncode == 1 and done.stderr.startswith("METRICS_LISTEN is ")


def test_version_names_the_libraries_in_use():
    told = run("--version").stdout
    for library in "libpq 1", "libevent 2", "OpenSSL 3", "libsodium 1", "jansson 2", "libcurl/":
        assert library in told


def test_version_help_and_nonsense():
    assert run("--version").stdout.startswith("relay_gateway 1.")
    assert "MAX_CONNECTIONS" in run("--help").stdout
    assert run("--nonsense").returncode == 2


def test_a_new_key_ring(tmp_path):
    ring = tmp_path / "ring"
    assert run("keyring", "new", ring).returncode == 0
    assert ring.stat().st_mode & 0o777 == 0o600
    number, key, state, created = ring.read_text().split()
    assert re.fullmatch("[1-9][0-9]{5}", number) and (state, len(base64.b64decode(key))) == ("primary", 32)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    again = run("keyring", "new", ring)
    assert again.returncode == 1 and "exists" in again.stderr
    assert ring.read_text().split()[1] == key
    other = [run("keyring", "new").stdout.split() for _ in range(2)]
    assert key not in (other[0][1], other[1][1]) and {other[0][0], other[1][0]} != {number}


def test_ready_says_that_the_key_ring_is_missing():
    server = Postgres()
    server.keyring.rename(server.dir / "elsewhere")
    try:
        server.start()
        server.sql("CREATE DATABASE relay", database="postgres")
        server.sql("CREATE EXTENSION relay_guard; CREATE ROLE gate LOGIN; "
                   "SELECT relay_guard.grant_role('gateway', 'gate')")
        with running(server.url("gate"), WORKERS=1) as gateway:
            wait_until(lambda: gateway.get("/ready").json()["checks"]["extension"], what="the database")
            answer = gateway.get("/ready")
            assert answer.status == 503 and "keyring" in answer.json()["missing"]
            (server.dir / "elsewhere").rename(server.keyring)
            wait_until(lambda: gateway.get("/ready").json()["checks"]["keyring"], what="the key ring")
    finally:
        server.stop()
        shutil.rmtree(server.dir)


def test_configure_writes_what_is_missing(postgres):
    settings = dict(DATABASE_PUBLIC_URL=postgres.url("relay_owner"), SUPABASE_JWT_SECRET=SECRET,
                    SUPABASE_JWT_ISS="https://issuer.test/auth", RATE_LIMIT_REQUESTS=77, RATE_LIMIT_WINDOW=90)
    before = postgres.sql("SELECT quota, \"window\" FROM relay_guard.rate_policy WHERE name = 'user'")
    kid = "env-" + hashlib.sha256(SECRET.encode()).hexdigest()[:16]
    try:
        first = run("configure", **settings)
        assert first.returncode == 0 and SECRET not in first.stdout
        assert f"key {kid} registered" in first.stdout and "77 in 00:01:30" in first.stdout
        assert run("configure", **settings).stdout == ""
        assert postgres.sql("SELECT aud FROM relay_guard.issuer WHERE iss = 'https://issuer.test/auth'") == \
            [("authenticated",)]
        assert postgres.sql("SELECT kid FROM relay_guard.jwt_key WHERE iss = 'https://issuer.test/auth'") == [(kid,)]
        changed = run("configure", **dict(settings, SUPABASE_JWT_AUD="other"))
        assert changed.stdout == "issuer https://issuer.test/auth: audience is now other\n"
        # another secret takes the place of the first, as tokens may name no key
        rotated = run("configure", **dict(settings, SUPABASE_JWT_AUD="other", SUPABASE_JWT_SECRET=SECRET[::-1]))
        assert f"key {kid} removed" in rotated.stdout
        assert len(postgres.sql("SELECT kid FROM relay_guard.jwt_key WHERE iss = 'https://issuer.test/auth'")) == 1
    finally:
        postgres.sql("DELETE FROM relay_guard.issuer WHERE iss = 'https://issuer.test/auth'")
        postgres.sql(f"UPDATE relay_guard.rate_policy SET quota = {before[0][0]}, "
                     f"\"window\" = '{before[0][1].total_seconds()} s' WHERE name = 'user'")


def test_configure_names_every_mistake(postgres):
    mistakes = dict(SUPABASE_JWT_SECRET="short", RATE_LIMIT_REQUESTS="many", RATE_LIMIT_WINDOW="-1",
                    RATE_LIMIT_EXEC_PER_MIN="1e3", RATE_LIMIT_ENABLED="maybe", ADMIN_API_KEY="short",
                    LLM_BUDGET_DAILY_USD="20 USD", LLM_BUDGET_HARD_USD="-1", OPENAI_API_KEY="a short one",
                    OPENAI_BASE_URL="https://me:secret@provider.example/v1")
    done = run("configure", DATABASE_PUBLIC_URL=postgres.url("relay_owner"), **mistakes)
    assert done.returncode == 1 and "short" not in done.stderr.replace("shorter", "")
    assert {line.split()[0] for line in done.stderr.splitlines()} == set(mistakes)


def test_configure_registers_keys_of_the_environment(postgres, gateway, tmp_path):
    def configure(**settings):
        done = run("configure", DATABASE_PUBLIC_URL=postgres.url("relay_owner"), **settings)
        assert not any(key in done.stdout + done.stderr for key in (ADMIN, DEV))
        return done

    def status(key):
        return gateway.get("/test/admin", {"X-API-Key": key}).status

    postgres.sql("INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) "
                 "VALUES ('GET', '/test/admin', 'SELECT 1', 'admin', 'value', 'relay_app')", user="relay_owner")
    try:
        assert status(ADMIN) == 401
        first = configure(ADMIN_API_KEY=ADMIN, DEV_API_KEY=DEV)
        assert first.stdout == "API key env-admin: registered\nAPI key env-dev: registered\n"
        assert configure(ADMIN_API_KEY=ADMIN, DEV_API_KEY=DEV).stdout == ""
        assert (status(ADMIN), status(DEV)) == (200, 403)
        other = configure(ADMIN_API_KEY=ADMIN[::-1], DEV_API_KEY=DEV)
        assert other.stdout == "API key env-admin: registered\n"
        assert (status(ADMIN), status(ADMIN[::-1])) == (401, 200)
        production = tmp_path / "production"
        production.write_text("ENVIRONMENT=production\n")
        assert configure(RELAY_CONFIG=production, DEV_API_KEY=DEV).returncode == 1
        # a key for development does not come into production, nor one for both
        refused = configure(ENVIRONMENT="production", ADMIN_API_KEY=ADMIN, DEV_API_KEY=DEV)
        assert (refused.returncode, refused.stderr) == (1, "DEV_API_KEY is not for production\n")
        assert configure(ADMIN_API_KEY=ADMIN, DEV_API_KEY=ADMIN).returncode == 1
        assert configure().stdout == "API key env-admin: removed\nAPI key env-dev: removed\n"
        assert (status(ADMIN[::-1]), status(DEV)) == (401, 401)
    finally:
        postgres.sql("DELETE FROM relay_guard.route WHERE path = '/test/admin'", user="relay_owner")


def test_configure_makes_the_provider_of_language_models(postgres):
    def configure(key=PROVIDER_KEY, **settings):
        done = run("configure", DATABASE_PUBLIC_URL=postgres.url("relay_owner"), OPENAI_API_KEY=key, **settings)
        assert done.returncode == 0 and not any(key in done.stdout + done.stderr for key in (PROVIDER_KEY, "EMPTY"))
        rows = postgres.sql("SELECT url, auth, answer_timeout::text FROM relay_guard.upstream WHERE name = 'openai'")
        return done.stdout, rows[0] if rows else None, done.stderr

    def keys():
        return postgres.sql("SELECT version FROM relay_guard.webhook_secret WHERE name = 'upstream/openai'")

    openai = "https://api.openai.com/v1"
    try:
        assert configure("", OPENAI_BASE_URL="https://other.example") == ("", None, "")
        assert configure() == (f"upstream openai: {openai}\nupstream openai: key registered\n", (openai, "bearer", "00:05:00"), "")
        assert configure(OPENAI_BASE_URL=openai + "/") == ("", (openai, "bearer", "00:05:00"), "")
        postgres.sql("UPDATE relay_guard.upstream SET answer_timeout = '1 min'")
        own = "http://models.example:8000"
        assert configure(OPENAI_BASE_URL=own) == (f"upstream openai: {own}\n", (own, "bearer", "00:01:00"), "")
        said, _, warned = configure("EMPTY", OPENAI_BASE_URL=own, ENVIRONMENT="production")
        assert said == "upstream openai: key replaced\n" and warned.startswith("OPENAI_BASE_URL is not https")
        assert len(keys()) == 1
        # unset, it stays
        assert configure("")[:2] == ("", (own, "bearer", "00:01:00")) and len(keys()) == 1
        # an upstream of that name that was one of another kind
        postgres.sql("UPDATE relay_guard.upstream SET auth = 'signature'")
        assert keys() == []
        assert configure(OPENAI_BASE_URL=own)[0] == f"upstream openai: {own}\nupstream openai: key registered\n"
    finally:
        postgres.sql("DELETE FROM relay_guard.upstream")
    assert keys() == []


def test_configure_switches_limits(postgres):
    def configure(**settings):
        return run("configure", DATABASE_PUBLIC_URL=postgres.url("relay_owner"), **settings)

    try:
        assert "exec: 7 in 00:01:00" in configure(RATE_LIMIT_EXEC_PER_MIN=7).stdout
        off = configure(RATE_LIMIT_ENABLED="false", ENVIRONMENT="production")
        assert "rate policies: off (" in off.stdout and "nothing is limited" in off.stderr
        assert postgres.sql("SELECT bool_or(enabled) FROM relay_guard.rate_policy") == [(False,)]
        assert configure(RATE_LIMIT_ENABLED="0").stdout == ""
        assert "rate policies: on (" in configure(RATE_LIMIT_ENABLED="true").stdout
    finally:
        postgres.sql("UPDATE relay_guard.rate_policy SET enabled = true; "
                     "UPDATE relay_guard.rate_policy SET quota = 60 WHERE name = 'exec'")


def configured_budget(postgres, **settings):
    done = run("configure", DATABASE_PUBLIC_URL=postgres.url("relay_owner"), **settings)
    [row] = postgres.sql("SELECT warn, hard, version FROM relay_guard.budget_policy WHERE name = 'global_daily'")
    return done, row


def test_configure_sets_the_daily_budget(postgres):
    def configure(**settings):
        done, row = configured_budget(postgres, **settings)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout, row[:2]

    said = "budget policy global_daily: warns at {} USD, denies at {} USD a day\n"
    _, before = configured_budget(postgres)
    try:
        assert configure(LLM_BUDGET_DAILY_USD="100") == (said.format(100, 250), (100000000, 250000000))
        assert configure(LLM_BUDGET_DAILY_USD="100.000000") == ("", (100000000, 250000000))
        assert configure(LLM_BUDGET_DAILY_USD="0.000001")[1] == (1, 2)
        assert configure(LLM_BUDGET_DAILY_USD="12.5", LLM_BUDGET_HARD_USD="12.5") == \
            (said.format(12.5, 12.5), (12500000, 12500000))
        # the hard limit alone takes the warning down with it, and not up again
        assert configure(LLM_BUDGET_HARD_USD="7")[1] == (7000000, 7000000)
        assert configure(LLM_BUDGET_HARD_USD="50")[1] == (7000000, 50000000)
        assert configure(LLM_BUDGET_DAILY_USD="0") == (said.format(0, 0), (0, 0))
        assert configure(LLM_BUDGET_DAILY_USD="400000000")[1] == (400000000000000, 1000000000000000)
        # nothing set, nothing changed
        assert configure() == ("", (400000000000000, 1000000000000000))
        assert configure(LLM_BUDGET_DAILY_USD="", LLM_BUDGET_HARD_USD="")[0] == ""
    finally:
        postgres.sql(f"UPDATE relay_guard.budget_policy SET warn = {before[0]}, hard = {before[1]} "
                     "WHERE name = 'global_daily'")


def test_configure_neither_waits_nor_writes_when_the_budget_is_what_it_was(postgres):
    _, first = configured_budget(postgres, LLM_BUDGET_DAILY_USD="20")
    spending = psycopg2.connect(postgres.url("postgres"))
    spending.cursor().execute("LOCK TABLE ONLY relay_guard.usage_ledger IN ROW EXCLUSIVE MODE")
    try:
        same, again = configured_budget(postgres, LLM_BUDGET_DAILY_USD="20.00", PGOPTIONS="-c lock_timeout=100")
        assert (same.returncode, again) == (0, first)
        other, again = configured_budget(postgres, LLM_BUDGET_DAILY_USD="21", PGOPTIONS="-c lock_timeout=100")
        assert (other.returncode, again) == (1, first) and "lock timeout" in other.stderr
    finally:
        spending.close()


def test_configure_leaves_a_budget_that_warns_of_nothing_silent(postgres):
    _, before = configured_budget(postgres)
    try:
        postgres.sql("UPDATE relay_guard.budget_policy SET warn = NULL WHERE name = 'global_daily'")
        done, row = configured_budget(postgres, LLM_BUDGET_HARD_USD="3")
        assert done.stdout.endswith("warns at no USD, denies at 3 USD a day\n") and row[:2] == (None, 3000000)
    finally:
        postgres.sql(f"UPDATE relay_guard.budget_policy SET warn = {before[0]}, hard = {before[1]} "
                     "WHERE name = 'global_daily'")


def test_configure_refuses_to_limit_by_a_budget_that_is_gone(postgres):
    postgres.sql("UPDATE relay_guard.budget_policy SET name = 'renamed' WHERE name = 'global_daily'")
    try:
        for setting in "LLM_BUDGET_DAILY_USD", "LLM_BUDGET_HARD_USD":
            done = run("configure", DATABASE_PUBLIC_URL=postgres.url("relay_owner"), **{setting: "1"})
            assert (done.returncode, done.stdout) == (1, "") and "no budget policy global_daily" in done.stderr
        assert run("configure", DATABASE_PUBLIC_URL=postgres.url("relay_owner")).returncode == 0
    finally:
        postgres.sql("UPDATE relay_guard.budget_policy SET name = 'global_daily' WHERE name = 'renamed'")


@pytest.mark.parametrize("amount", ["50.0000001", "1e3", "NaN", "-1", " 5", "\u221e", "5 USD", "$5", "1,000", ".5", "5.",
                                    "infinity", "0x10", "1000000001", "9" * 40, "\u0665"])
def test_configure_refuses_what_is_no_amount_of_money(postgres, amount):
    _, before = configured_budget(postgres)
    for names in (["LLM_BUDGET_DAILY_USD"], ["LLM_BUDGET_HARD_USD"], ["LLM_BUDGET_DAILY_USD", "LLM_BUDGET_HARD_USD"]):
        done, after = configured_budget(postgres, **{name: amount for name in names})
        assert (done.returncode, done.stdout, after) == (1, "", before)
        assert [line.split()[0] for line in done.stderr.splitlines()] == names


def test_configure_refuses_to_deny_before_it_warns(postgres):
    _, before = configured_budget(postgres)
    done, after = configured_budget(postgres, LLM_BUDGET_DAILY_USD="20", LLM_BUDGET_HARD_USD="19.999999")
    assert (done.returncode, after) == (1, before) and done.stderr.startswith("LLM_BUDGET_HARD_USD must not be below")
    # 2.5 times it would be more than a policy can say
    done, after = configured_budget(postgres, LLM_BUDGET_DAILY_USD="400000000.01")
    assert (done.returncode, after) == (1, before) and "up to 400000000" in done.stderr


def test_configure_registers_an_issuer_whose_keys_have_a_url(postgres):
    done = run("configure", DATABASE_PUBLIC_URL=postgres.url("relay_owner"), SUPABASE_JWT_ISS="https://keys.test",
               SUPABASE_JWKS_URL="https://keys.test/jwks.json", KEYS_DATABASE_URL=postgres.url("relay_owner"))
    try:
        assert done.stdout == "issuer https://keys.test: registered, audience authenticated\n"
    finally:
        postgres.sql("DELETE FROM relay_guard.issuer WHERE iss = 'https://keys.test'")
