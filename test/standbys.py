"""Copies of a server by pg_basebackup, and standbys."""
from servers import BINDIR, Server, as_server, own_folder, write


def base_backup(primary, *options):
    """Another server's folder with a base backup and the ring; started it recovers."""
    server = object.__new__(Server)
    server.folder = own_folder(primary.folder.parent)
    server.data, server.log_file, server.keyring = (server.folder / name for name in ("data", "log", "keyring"))
    server.write_ring(primary.keyring.read_text())
    server.options = {**primary.options, "unix_socket_directories": server.folder, "relay_guard.keyring_file": server.keyring,
                      "archive_mode": "off"}
    as_server(BINDIR / "pg_basebackup", "-h", primary.folder, "-U", "postgres", "-D", server.data, "-c", "fast", "--no-sync", *options)
    return server


def follow(primary, standby):
    write(standby.data / "standby.signal", "")
    standby.options["primary_conninfo"] = f"host={primary.folder} user=postgres"
    standby.start()
