import sys

from taesan.cli import main

sys.exit(main())
