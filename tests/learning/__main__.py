"""`python -m tests.learning ROW`: train a row's recipe with each of its seeds, then write docs/learning.md.

Records of finished seeds lie in docs/learning.jsonl and are not trained again; without a row the page alone is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.learning.page import write_page
from tests.learning.rows import ROWS
from tests.learning.trial import ROOT, Entry, run_trial
from tests.tools.trials import append_entry, read_entries


def main() -> int:
    """Train what is missing, seed by seed, and write the page after each."""
    options = _arguments()
    records: Path = options.records
    row = ROWS.get(options.row)
    for seed in options.seeds or (row.seeds if row else ()):
        if any(entry["row"] == options.row and entry["seed"] == seed for entry in _read(records)):
            print(f"{options.row}, seed {seed}: recorded already")
            continue
        assert row is not None
        data = options.data or Path(row.data)
        entry = run_trial(options.row, row, seed, data=data, runs=options.runs, threads=options.threads)
        append_entry(records, entry)
        print(f"{options.row}, seed {seed}: kNN {entry['knn'][-1][1]:.1f}, linear {entry['linear']:.1f}", flush=True)
    write_page(options.page, _read(records))
    print(f"written: {options.page}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.learning", description=__doc__)
    parser.add_argument("row", nargs="?", choices=ROWS, help="what to train; nothing writes the page alone")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the row's")
    parser.add_argument("--data", type=Path, help="folder with train/ and validation/ (default: the row's)")
    parser.add_argument("--runs", type=Path, default=Path("runs/learning"), help="run folders (runs/learning)")
    parser.add_argument("--threads", type=int, default=2, help="of torch in every run; others draw otherwise (2)")
    parser.add_argument("--records", type=Path, default=ROOT / "docs" / "learning.jsonl", help="what was found")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "learning.md", help="where the tables go")
    return parser.parse_args()


def _read(records: Path) -> list[Entry]:
    return sorted(read_entries(records), key=lambda entry: (entry["row"], entry["seed"]))


if __name__ == "__main__":
    raise SystemExit(main())
