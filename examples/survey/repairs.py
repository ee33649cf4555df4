"""What `nursery-otp dlq retry --app examples.survey.repairs:tree` runs: the inspectors, and no survey.

The file of letters is what the environment variable SURVEY_DEAD_LETTERS says, by default `quarantine.sqlite` here.
"""

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from examples.survey.interpreter import open_interpreter
from examples.survey.logs import log_news
from examples.survey.quarantine import options_for
from examples.survey.ward import Ward
from nursery_otp import SupervisorHandle, child, open_supervisor

VARIABLE = "SURVEY_DEAD_LETTERS"
DEFAULT = "quarantine.sqlite"


def tree() -> AbstractAsyncContextManager[SupervisorHandle]:
    """A tree of inspectors."""
    log_news()
    letters = options_for(Path(os.environ.get(VARIABLE, DEFAULT)))
    return open_supervisor([child(Ward, open_interpreter, service=True)], dead_letters=letters)
