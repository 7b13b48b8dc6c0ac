"""``python -m unlabeled`` is ``unlabeled``."""

from unlabeled.cli import main

raise SystemExit(main())
