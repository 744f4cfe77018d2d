"""DelayedJob's front: any call runs later by saying so, and is tried again after growing pauses.

Names and defaults are those of DelayedJob's README. What is enqueued is a plain job of RQ.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from functools import partial, update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from rq.job import Job, Retry

from rq_leveldb.call import check_importable, import_name
from rq_leveldb.call import enqueue as enqueue_call

if TYPE_CHECKING:
    import rq

__all__ = ['Asynchronous', 'delay', 'growing_pauses', 'handle_asynchronously']

P = ParamSpec('P')
Q = ParamSpec('Q')
R = TypeVar('R')
Owner = TypeVar('Owner')


def growing_pauses(max_attempts: int = 25) -> Retry | None:
    """Return RQ's rule for DelayedJob's pauses: 5 + n**4 seconds after the n-th attempt; None for a single attempt.

    Args:
        max_attempts: how often the job is run until it succeeds. The 25th attempt comes about 20 days after the first.

    Raises:
        ValueError: it is less than 1.
    """
    if max_attempts < 1:
        raise ValueError(f'max_attempts is {max_attempts}, but a job runs at least once. Use 1 for no further attempt.')
    return Retry(max_attempts - 1, [5 + attempt**4 for attempt in range(1, max_attempts)]) if max_attempts > 1 else None


@overload
def delay(target: type, **options: Any) -> Any: ...
@overload
def delay(target: Callable[P, Any], **options: Any) -> Callable[P, Job]: ...
@overload
def delay(target: object, **options: Any) -> Any: ...
def delay(target: object, **options: Any) -> Any:
    """Return what enqueues the next call of something, as in `delay(user).activate(1)` or `delay(add)(2, 3)`.

    Args:
        target: an object, class or module, whose methods or functions are to be called; or a function or method. Type
            checkers know the arguments of the latter alone.
        options: `queue`, a queue or the name of one in the default place; `run_at`, a datetime, or a timedelta from
            now; `at_front`; `max_attempts`, 25 if not given; `max_run_time` in seconds of an attempt, four hours if not
            given; `retry`, RQ's own rule in place of `max_attempts`; else as rq.Queue.create_job.
    """
    return _Delayed(target, options)


class Asynchronous(Generic[P, R]):
    """A function or method whose calls are enqueued, as `handle_asynchronously` makes it.

    Attributes:
        without_delay: the function itself. A method's is also found as `NAME_without_delay`.

    Args:
        function: what is to be called.
        options: as for `delay`; a callable is called for each job, with the object if it is a method.
    """

    def __init__(self, function: Callable[P, R], options: dict[str, Any]) -> None:
        if not inspect.isfunction(function):
            raise TypeError(
                f'handle_asynchronously decorates functions and methods, and not {function!r}. '
                'Use delay(CLASS).METHOD() for class methods and static methods.'
            )
        update_wrapper(self, function)
        self.without_delay: Callable[P, R] = function
        self._options = options
        # Jobs name the function itself, since under its own name a worker would enqueue it again.
        function.__qualname__ = f'{function.__qualname__}.without_delay'

    def __set_name__(self, owner: type, name: str) -> None:
        function: Any = self.without_delay
        function.__name__ = f'{name}_without_delay'
        function.__qualname__ = f'{owner.__qualname__}.{function.__name__}'
        setattr(owner, function.__name__, function)

    @overload
    def __get__(self, instance: None, owner: type) -> Asynchronous[P, R]: ...
    @overload
    def __get__(self: Asynchronous[Concatenate[Owner, Q], R], instance: Owner, owner: type) -> Asynchronous[Q, R]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        bound = copy(self)
        bound.without_delay = MethodType(self.without_delay, instance)
        return bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue the call and return its job."""
        instance = getattr(self.without_delay, '__self__', None)
        given = () if instance is None else (instance,)
        options = {name: value(*given) if callable(value) else value for name, value in self._options.items()}
        return _enqueue(self.without_delay, args, kwargs, **options)


@overload
def handle_asynchronously(function: Callable[P, R], /) -> Asynchronous[P, R]: ...
@overload
def handle_asynchronously(**options: Any) -> Callable[[Callable[P, R]], Asynchronous[P, R]]: ...
def handle_asynchronously(function: Any = None, /, **options: Any) -> Any:
    """Decorate a function or method, so that calling it enqueues the call and returns the job.

    Args:
        function: what is decorated.
        options: as for `delay`. One that is a callable is called for each job: with the object for a method, without
            arguments for a function.
    """
    return partial(Asynchronous, options=options) if function is None else Asynchronous(function, options)


class _Delayed:
    """What `delay` returns."""

    def __init__(self, target: Any, options: dict[str, Any]) -> None:
        self.__target = target
        self.__options = options

    def __call__(self, *args: Any, **kwargs: Any) -> Job:
        return _enqueue(self.__target, args, kwargs, **self.__options)

    def __getattr__(self, name: str) -> Callable[..., Job]:
        return _Delayed(getattr(self.__target, name), self.__options)


def _enqueue(
    call: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    queue: rq.Queue | str = 'default',
    max_attempts: int = 25,
    max_run_time: int = 4 * 60 * 60,
    **options: Any,
) -> Job:
    if 'priority' in options:
        raise TypeError('RQ has no priorities. Use another queue, which workers serve in the order given, or at_front.')
    options.setdefault('retry', growing_pauses(max_attempts))
    return enqueue_call(queue, _reference(call), args, kwargs, timeout=max_run_time, **options)


def _reference(call: Any) -> Any:
    """Return what RQ is to run: a name, or a method with its object, which is pickled.

    Raises:
        TypeError: it cannot be called, or is a class.
        ValueError: workers cannot import it.
    """
    if isinstance(call, Asynchronous):
        return _reference(call.without_delay)
    if inspect.isfunction(call) or inspect.isbuiltin(call):
        return import_name(call)
    if inspect.isclass(call) or not callable(call):
        raise TypeError(f'{call!r} is not a function or method, so it cannot be a job.')
    instance = call.__self__ if inspect.ismethod(call) else call
    check_importable(instance if inspect.isclass(instance) else type(instance))
    if inspect.ismethod(call) and getattr(instance, call.__name__, None) != call:
        raise ValueError(f'Workers look for {call.__name__} in {instance!r}, and find nothing or something else there.')
    if inspect.isclass(instance):
        return import_name(instance, call.__name__)
    if not instance:
        raise ValueError(f'{instance!r} counts as false, and RQ does not call methods of such objects.')
    return call
