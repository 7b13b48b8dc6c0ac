import subprocess
import sys

import pytest

PROBE = """
import resource
from unlabeled.training.allocator import keep_freed_memory
{call}
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
block = bytearray(256 << 20); del block
before = faults()
for _ in range(3):
    block = bytearray(256 << 20); del block
print(keep_freed_memory(), faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings are read on Linux alone")
def test_freed_blocks_are_taken_again_without_page_faults():
    code = PROBE.format(call="keep_freed_memory()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    kept, faults = done.stdout.split()
    if kept == "True":
        # three blocks of 256 MB are 196,608 pages of 4 kB, were they given back in between
        assert int(faults) < 20_000


def test_a_users_own_settings_stay():
    code = PROBE.format(call="")
    env = {"MALLOC_ARENA_MAX": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.startswith("False")
