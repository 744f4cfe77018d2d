"""A person with a browser in front of the page."""

from __future__ import annotations

from typing import Any

from tests.http.support import TOKEN

__all__ = ['Visit']


class Visit:
    """A visit to the page.

    Args:
        page: playwright's page.
        url: of the front.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.asked: list[str] = []
        """What the page asked to confirm; everything is accepted."""
        self._url = url
        page.on('dialog', self._accept)

    def _accept(self, dialog: Any) -> None:
        self.asked.append(dialog.message)
        dialog.accept()

    def log_in(self) -> Visit:
        self.page.get_by_label('Token').fill(TOKEN)
        self.page.keyboard.press('Enter')
        self.page.get_by_role('heading', name='Overview').wait_for()
        return self

    def go(self, path: str, heading: str) -> Visit:
        """Open an address below the page, and wait for its heading."""
        self.page.goto(f'{self._url}/#/{path}')
        self.page.get_by_role('heading', name=heading, exact=True, level=1).wait_for()
        return self

    def see(self, text: str) -> Any:
        """Wait for a text and return its element."""
        found = self.page.get_by_text(text).first
        found.wait_for()
        return found

    def click(self, role: str, name: str) -> None:
        self.page.get_by_role(role, name=name, exact=True).click()

    def gone(self, text: str) -> None:
        """Wait until a text is no longer there."""
        self.page.get_by_text(text).first.wait_for(state='detached')
