"""`python -m examples.survey`, see the package."""

from examples.survey.cli import main

raise SystemExit(main())
