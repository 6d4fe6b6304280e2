"""Which control function does what: the tables from ECMA-48, DEC and xterm sequences to the emulator's functions.

A sequence that is in no table is ignored; so is every request for a report.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from .emulator import Emulator
from .parser import parameters
from .rendition import select_graphic_rendition

_Function = Callable[[Emulator], None]
_ParameterFunction = Callable[[Emulator, tuple[int, ...]], None]

_CONTROLS: Mapping[str, _Function] = MappingProxyType(
    {
        "\b": Emulator.backspace,
        "\t": Emulator.tab,
        "\n": Emulator.linefeed,
        "\v": Emulator.linefeed,
        "\f": Emulator.linefeed,
        "\r": Emulator.carriage_return,
        "\x0e": Emulator.shift_out,
        "\x0f": Emulator.shift_in,
    }
)


def _next_line(emulator: Emulator) -> None:
    emulator.carriage_return()
    emulator.index()


_ESCAPES: Mapping[str, _Function] = MappingProxyType(
    {
        "7": Emulator.save_cursor,
        "8": Emulator.restore_cursor,
        "D": Emulator.index,
        "E": _next_line,
        "H": Emulator.set_tab_stop,
        "M": Emulator.reverse_index,
        "c": Emulator.reset,
        "#8": Emulator.alignment_display,
    }
)


def _second(values: tuple[int, ...]) -> int:
    return values[1] if len(values) > 1 else 0


def _set_mode(emulator: Emulator, values: tuple[int, ...]) -> None:
    for value in values:
        emulator.ansi_mode(value, on=True)


def _reset_mode(emulator: Emulator, values: tuple[int, ...]) -> None:
    for value in values:
        emulator.ansi_mode(value, on=False)


def _set_private_mode(emulator: Emulator, values: tuple[int, ...]) -> None:
    for value in values:
        emulator.private_mode(value, on=True)


def _reset_private_mode(emulator: Emulator, values: tuple[int, ...]) -> None:
    for value in values:
        emulator.private_mode(value, on=False)


_CONTROL_SEQUENCES: Mapping[str, _ParameterFunction] = MappingProxyType(
    {
        "@": lambda emulator, values: emulator.insert_characters(values[0]),
        "A": lambda emulator, values: emulator.cursor_up(values[0]),
        "B": lambda emulator, values: emulator.cursor_down(values[0]),
        "C": lambda emulator, values: emulator.cursor_forward(values[0]),
        "D": lambda emulator, values: emulator.cursor_back(values[0]),
        "E": lambda emulator, values: emulator.cursor_down1(values[0]),
        "F": lambda emulator, values: emulator.cursor_up1(values[0]),
        "G": lambda emulator, values: emulator.cursor_to_column(values[0]),
        "H": lambda emulator, values: emulator.cursor_position(values[0], _second(values)),
        "I": lambda emulator, values: emulator.tabs(values[0]),
        "J": lambda emulator, values: emulator.erase_in_display(values[0]),
        "?J": lambda emulator, values: emulator.erase_in_display(values[0]),
        "K": lambda emulator, values: emulator.erase_in_line(values[0]),
        "?K": lambda emulator, values: emulator.erase_in_line(values[0]),
        "L": lambda emulator, values: emulator.insert_lines(values[0]),
        "M": lambda emulator, values: emulator.delete_lines(values[0]),
        "P": lambda emulator, values: emulator.delete_characters(values[0]),
        "S": lambda emulator, values: emulator.scroll_up(values[0]),
        "T": lambda emulator, values: emulator.scroll_down(values[0]),
        "X": lambda emulator, values: emulator.erase_characters(values[0]),
        "Z": lambda emulator, values: emulator.tabs_back(values[0]),
        "`": lambda emulator, values: emulator.cursor_to_column(values[0]),
        "a": lambda emulator, values: emulator.cursor_forward(values[0]),
        "d": lambda emulator, values: emulator.cursor_to_line(values[0]),
        "e": lambda emulator, values: emulator.cursor_down_unbounded(values[0]),
        "f": lambda emulator, values: emulator.cursor_position(values[0], _second(values)),
        "g": lambda emulator, values: emulator.clear_tab_stop(values[0]),
        "h": _set_mode,
        "?h": _set_private_mode,
        "l": _reset_mode,
        "?l": _reset_private_mode,
        "!p": lambda emulator, _: emulator.soft_reset(),
        "r": lambda emulator, values: emulator.set_margins(values[0], _second(values)),
        "s": lambda emulator, _: emulator.save_cursor(),
        "u": lambda emulator, _: emulator.restore_cursor(),
    }
)


class Sequences:
    """The parser's actions (`parser.Actions`), carried out on an emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        # Text is most of the input: it goes straight to the emulator.
        self.draw = emulator.draw

    def execute(self, control: str) -> None:
        self._emulator.repeatable = ""
        function = _CONTROLS.get(control)
        if function is not None:
            function(self._emulator)

    def escape(self, intermediates: str, final: str) -> None:
        self._emulator.repeatable = ""
        function = _ESCAPES.get(intermediates + final)
        if function is not None:
            function(self._emulator)
        elif intermediates in ("(", ")"):
            self._emulator.define_charset(final, intermediates)

    def control_sequence(self, prefix: str, raw: str, intermediates: str, final: str) -> None:
        emulator = self._emulator
        emulator.repeatable, repeatable = "", emulator.repeatable
        name = prefix + intermediates + final
        if name == "m":
            emulator.pen = select_graphic_rendition(emulator.pen, raw)
        elif name == "b":
            emulator.repeat(repeatable, parameters(raw)[0])
        elif (function := _CONTROL_SEQUENCES.get(name)) is not None:
            function(emulator, parameters(raw))

    def operating_system_command(self, payload: str) -> None:
        number, _, text = payload.partition(";")
        if number in ("0", "2"):
            self._emulator.set_title(text)

    def string_abandoned(self, payload: str) -> None:
        """The screen shows nothing of it, as a terminal would."""
