"""What each rule must find. Never run, and left out of the pipeline's scan."""

import os
import subprocess

import httpx
import sqlalchemy


def bad(connection, name):
    eval(name)
    exec(name)
    subprocess.run(f"ls {name}", shell=True)
    os.system(name)
    connection.execute(f"SELECT * FROM users WHERE name = '{name}'")
    connection.execute("SELECT * FROM users WHERE name = '%s'" % name)
    sqlalchemy.text(f"DELETE FROM {name}")
    httpx.get("https://example.com", verify=False)
