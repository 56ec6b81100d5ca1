"""A Textual app that hands a file to the browser at any key."""

from io import StringIO

from textual.app import App


class SavingApp(App[None]):
    def on_key(self) -> None:
        self.deliver_text(StringIO("<svg/>"), save_filename="fleet.svg")


if __name__ == "__main__":
    SavingApp().run()
