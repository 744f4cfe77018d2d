"""Django's settings: those that concern jobs and the cache come first."""

from __future__ import annotations

import os
from pathlib import Path

import rq_leveldb

STORE = os.environ.get('RQ_LEVELDB_URL', 'leveldb://')
# Keeps the store running for as long as this process lives, whichever of Django's commands it runs.
RQ_QUEUES = {'default': {'URL': rq_leveldb.unix_url(STORE)}}
# Several jobs at once, each in a process forked for it. Without this line, django-rq runs RQ's own worker.
RQ = {'WORKER_CLASS': 'rq_leveldb.Worker'}

CACHES = {
    'default': {
        'BACKEND': 'django_redis.cache.RedisCache',
        'LOCATION': STORE,
        'OPTIONS': {'CONNECTION_POOL_CLASS': 'rq_leveldb.ConnectionPool'},
    }
}

DATA = Path(os.environ.get('MYSITE_DATA', Path(__file__).parents[1]))

DEBUG = True
SECRET_KEY = 'an example, and not a secret'
ROOT_URLCONF = 'mysite.urls'
STATIC_URL = 'static/'
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': DATA / 'db.sqlite3'}}
INSTALLED_APPS = [
    'django.contrib.admin',
    'django.contrib.auth',
    'django.contrib.contenttypes',
    'django.contrib.sessions',
    'django.contrib.messages',
    'django.contrib.staticfiles',
    'django_rq',
]
MIDDLEWARE = [
    'django.contrib.sessions.middleware.SessionMiddleware',
    'django.middleware.csrf.CsrfViewMiddleware',
    'django.contrib.auth.middleware.AuthenticationMiddleware',
    'django.contrib.messages.middleware.MessageMiddleware',
]
TEMPLATES = [
    {
        'BACKEND': 'django.template.backends.django.DjangoTemplates',
        'APP_DIRS': True,
        'OPTIONS': {
            'context_processors': [
                'django.template.context_processors.request',
                'django.contrib.auth.context_processors.auth',
                'django.contrib.messages.context_processors.messages',
            ]
        },
    }
]
