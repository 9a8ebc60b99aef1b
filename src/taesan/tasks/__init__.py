"""The tasks, by name."""

from taesan.tasks.base import Task
from taesan.tasks.classification import CLASSIFICATION
from taesan.tasks.pair import PAIR

TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, PAIR)}
