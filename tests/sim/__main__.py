"""`python -m tests.sim`: run a campaign, or replay one seed with a readable trace. Exit status 1: a violation was found."""

import argparse
import sys
import time

from tests.sim.campaign import RULES, Totals, run_seed, run_seeds, without
from tests.sim.switches import WHOLE

LOSSES_MAX_SHARE = 0.2
TELL_S = 10.0
"""How often a campaign says how far it is."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="run this seed only and print its trace's hash")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happened, event by event")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--without", metavar="RULE", choices=RULES, help=f"take a rule away: {', '.join(RULES)}")
    options = parser.parse_args(arguments)
    rules = without(options.without) if options.without else WHOLE
    totals = Totals()
    if options.seed is not None:
        outcome = run_seed(options.seed, rules, options.trace)
        print(*outcome.lines, sep="\n")
        totals.add(outcome)
        if outcome.violation:
            print(f"seed {outcome.seed}: {outcome.violation}")
        print(f"trace hash {outcome.hash:08x}")
        print(totals.last_line())
        return 1 if outcome.violation else 0
    switch = f" --without {options.without}" if options.without else ""
    interrupted = False
    told = time.monotonic()
    try:
        for outcome in run_seeds(range(options.first, options.first + options.seeds), rules, options.jobs):
            totals.add(outcome)
            if outcome.violation:
                print(f"seed {outcome.seed}: {outcome.violation[:600]}")
                print(f"  replay: {sys.executable} -m tests.sim --seed {outcome.seed} --trace{switch}", flush=True)
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                print(
                    f"{totals.seeds:,} of {options.seeds:,} seeds, {len(totals.violations)} violations", file=sys.stderr
                )
    except KeyboardInterrupt:
        interrupted = True
        print(
            f"interrupted after {totals.seeds:,} of {options.seeds:,} seeds; go on with --first {options.first + totals.seeds}"
        )
    print(*totals.report(), sep="\n")
    too_many = totals.losses > LOSSES_MAX_SHARE * totals.seeds and totals.seeds >= 100
    if too_many:
        print(f"more than {LOSSES_MAX_SHARE:.0%} of the seeds lost the whole in-sync set: the generator is too cruel")
    print(totals.last_line())
    return 1 if totals.violations or too_many else 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
