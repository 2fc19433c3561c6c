"""``python -m hounsfield.cli``"""

from hounsfield.cli import main

main()
