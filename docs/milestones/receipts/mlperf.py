"""Run milestone 06 for the book: `python docs/milestones/receipts/mlperf.py --data-dir DIR`.

The networks of milestones 03 to 05 have to be trained. What the programs print goes into text files beside
this one, what they measure into mlperf.json. The service is asked for a minute for each network, so all takes
about eight minutes. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parents[2] / "milestones" / "06_2024_mlperf"
RATES = {"mnist": 200, "cifar10": 50, "tinytalks": 20}  # requests a second
SECONDS = 60
PARTS = ("profile", "compress", "accelerate", "submit", "load", "service")
TALKS = (  # what curl asks
    "curl -s {url}/health",
    'curl -s {url}/generate --json \'{{"prompt": "What is your name?"}}\'',
    "curl -s {url}/predict --json @digit.json",
    'curl -s {url}/predict --json \'{{"model": "mnist", "inputs": [[1, 2], [3]]}}\'',
    'curl -s {url}/generate --json \'{{"prompt": "Hi", "temperature": -1}}\'',
    'curl -s {url}/generate -d \'{{"prompt": "Hi"}}\'',
    "curl -s {url}/etc/passwd",
    "curl -s {url}/metrics | grep -v bucket",
)
LINE = re.compile(
    r"(?P<what>[^:]+(?:: [\d,]+)?): (?P<baseline>\w+) (?P<before>[\d,.]+) ms, "
    r"(?P<name>.+?) (?P<after>[\d,.]+) ms: "
    r"(?P<ratio>[\d,.]+)x, 95 % interval (?P<low>[\d,.]+) to (?P<high>[\d,.]+) \((?P<rounds>\d+) rounds\)"
)


def python(script, *options):
    return [sys.executable, str(SCRIPTS / script), *options]


def run(part, options, work):
    """Run a script of the milestone: (its receipt, what it printed)."""
    receipt = work / f"{part}.json"
    command = python(f"{part}.py", *options, "--reference", "--json", str(receipt))
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)
    text = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
    (HERE / f"mlperf-{part}.txt").write_text(text, encoding="utf-8")
    return json.loads(receipt.read_text(encoding="utf-8")), text


def speedups(text):
    """The comparisons that accelerate.py printed."""
    words = {"what", "baseline", "name"}
    return [
        {key: x if key in words else float(x.replace(",", "")) for key, x in found.groupdict().items()}
        for found in map(LINE.fullmatch, text.splitlines())
        if found
    ]


@contextmanager
def serving(work, names):
    """The URL of a service of these bundles."""
    command = python(
        "serve.py", *(f"bundles/{name}" for name in names), "--port", "0", "--quiet", "--reference"
    )
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, text=True) as service:
        try:
            yield re.search(r"http://[\w.:]+", service.stdout.readline()).group().rstrip(":;")
        finally:
            service.send_signal(signal.SIGTERM)
            service.communicate()


def under_load(work, name):
    """What load.py measured of a service of one bundle, and what it said of the abuse afterwards."""
    target = work / f"load-{name}.json"
    with serving(work, [name]) as url:
        options = "--rate", str(RATES[name]), "--seconds", str(SECONDS), "--json", str(target)
        loaded = subprocess.run(python("load.py", url, *options), stdout=subprocess.DEVNULL).returncode
        abused = subprocess.run(python("load.py", url, "--abuse"), stdout=subprocess.PIPE, text=True)
    found = json.loads(target.read_text(encoding="utf-8"))
    return {
        **found,
        "passed": loaded == 0,
        "abuse": abused.stdout.strip(),
        "survived": abused.returncode == 0,
    }


def conversation(work, data_dir):
    """A talk with a service, as curl has it."""
    from tinytorch.datasets import load_mnist

    picture = load_mnist("test", data_dir)[0][0].tolist()
    (work / "digit.json").write_text(json.dumps({"inputs": picture, "model": "mnist"}), encoding="utf-8")
    lines = []
    with serving(work, RATES) as url:
        for talk in TALKS:
            command = talk.format(url=url)
            done = subprocess.run(command, shell=True, cwd=work, stdout=subprocess.PIPE, text=True)
            lines += [f"$ {talk.format(url='localhost:8080')}", done.stdout]
    (HERE / "mlperf-service.txt").write_text("\n".join(lines), encoding="utf-8")


def kept(bundle):
    """What the book shows of a bundle."""
    read = {
        name: (bundle / name).read_text(encoding="utf-8")
        for name in ("config.json", "figures.json", "card.md")
    }
    return {
        "config": json.loads(read["config.json"]), "figures": json.loads(read["figures.json"]),
        "card": read["card.md"],
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--data-dir", type=Path, help="where MNIST and CIFAR-10 are")
    parser.add_argument("--work", type=Path, default=Path("_build/mlperf"), help="where the bundles go")
    options = parser.parse_args()
    target, work = HERE / "mlperf.json", options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["TINYTORCH_WORKSPACE"] = "off"
    data = ["--data-dir", str(options.data_dir.resolve())] if options.data_dir else []
    found = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {"receipts": {}}
    for part in options.parts or PARTS:
        if part == "load":
            found["load"] = {name: under_load(work, name) for name in RATES}
        elif part == "service":
            conversation(work, options.data_dir)
        else:
            more = ["--trace", "traces"] if part == "profile" else []
            receipt, text = run(part, [*data, *more], work)
            found["receipts"][part] = receipt
            if part == "profile":
                found["profile"] = json.loads((work / "traces/figures.json").read_text(encoding="utf-8"))
            if part == "accelerate":
                found["speedups"] = speedups(text)
        bundles = {name: work / "bundles" / name for name in RATES}
        found["bundles"] = {name: kept(folder) for name, folder in bundles.items() if folder.is_dir()}
        target.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(part, "done", flush=True)


if __name__ == "__main__":
    main()
