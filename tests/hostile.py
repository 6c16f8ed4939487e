"""Names that do something where they aren't text: what tests of pages, figures and reports are given as labels and methods."""

NAMES = {
    "element": '<img src="http://evil.example/x.png" onerror="window.hit = 1">',
    "script": "</script></style></svg><script>window.hit = 1</script>",
    "attribute": "\"' onmouseover=window.hit=1 x='",
    "address": "javascript:window.hit=1",
    "template": "{{ 7 * 7 }} {0} {} %s {% raw %}",
    "mathematics": r"$\frac{1}{2}$ and $$x^2$$ and \(y_3\)",
    "broken mathematics": r"price $5 {cup}_1 $\nothing{$",
    "markdown": "**bold** _soft_ `code` [link](http://evil.example) | cell | ~~gone~~ # head",
    "latex": r"\input{/etc/passwd} 50 % & {a} #1 ~ ^ _",
    "lines": "two\nlines\r\nand\ta tab",
    "terminal": "\x1b[31mred\x1b]0;title\x07 \x08\x08 \x9b2J",
    "right to left": "\u202egnp.cup\u202c \u2067x\u2069 שלום (3)",
    "quotes": "the lab's \"best\" cup &amp; &lt;saucer&gt; \\ /",
    "surrogate": "caf\udce9.jpg",
    "underscore": "_hidden",
    "long": "a" * 9_990 + "the end",
    "many lines": "b\n" * 5_000 + "end",
}  # fmt: skip
