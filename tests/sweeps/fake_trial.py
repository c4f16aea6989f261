"""Stands in for `experiments/run.py`: score x, after a while; fails, hangs or dies if told so.

Every start and end is a line in events.txt beside the trials' folders, and being run twice at once
is a line too: a file that must not exist is made at the start and taken away at the end.
"""

import os
import sys
import time

words = dict(word.partition("=")[::2] for word in sys.argv[1:])
folder = os.environ["LIGHTNING_BRATS_RUN"]
parent, trial = os.path.split(folder)
os.makedirs(folder, exist_ok=True)


def say(event):
    with open(os.path.join(parent, "events.txt"), "a", buffering=1) as stream:
        stream.write(f"{event} {trial} {os.getpid()}\n")


def make(name, text):
    with open(os.path.join(folder, name), "w") as stream:
        stream.write(text)


claim = os.path.join(folder, "busy")
if os.path.exists(claim):
    with open(claim) as stream:
        before = int(stream.read() or 0)
    if before and os.path.exists(f"/proc/{before}") and before != os.getpid():
        say("twice")
with open(claim, "w") as stream:
    stream.write(str(os.getpid()))
say("start")
begun = os.path.exists(os.path.join(folder, "begun"))
make("begun", "")
make("environment", "\n".join(f"{k}={v}" for k, v in os.environ.items()))
if words.get("fail") == "true":
    print("what went wrong", flush=True)
    sys.exit(2)
if words.get("die") == "true":
    os.kill(os.getpid(), 9)
if "hang" in words and not begun:
    time.sleep(float(words["hang"]))
time.sleep(float(words.get("sleep", 0)))
offset = os.path.join(parent, "offset")
shift = 0.0
if os.path.exists(offset):
    with open(offset) as stream:
        shift = float(stream.read())
score = float(words.get("x", 0)) + float(words.get("fold", 0)) + shift
make("metrics.csv", f"epoch,val/dice_mean\n0,0.1\n1,{score}\n2,\n")
make("summary.json", f'{{"train_seconds": {float(words.get("cost", 1))}}}')
os.remove(claim)
say("end")
