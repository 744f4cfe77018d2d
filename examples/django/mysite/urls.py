"""The site's pages: /count enqueues a job and shows the result once it is there, /admin/ has django-rq's own."""

from __future__ import annotations

from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django_rq import enqueue

from mysite.tasks import count_primes


def count(request: HttpRequest) -> JsonResponse:
    limit = int(request.GET['limit'])
    found = cache.get(f'primes-{limit}')
    if found is not None:
        return JsonResponse({'primes': found})
    return JsonResponse({'job': enqueue(count_primes, limit).id}, status=202)


urlpatterns = [path('count', count), path('admin/', admin.site.urls)]
