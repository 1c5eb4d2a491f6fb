"""`python -m metastudy`: the same as the command `metastudy`."""

import sys

from metastudy.own_data.command import main

sys.exit(main())
