"""Django with django-rq, on a store that the settings name by its URL.

python manage.py migrate
python manage.py createsuperuser
python manage.py runserver          http://127.0.0.1:8000/count?limit=1000000 and /admin/
python manage.py rqworker           in another shell
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == '__main__':
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')
    execute_from_command_line(sys.argv)
