from handlers.bucket.layout import has_image_suffix, safe_segment, split_incoming, target_key


def test_splitting_keys() -> None:
    assert split_incoming("incoming/cat/a/b.png") == ("cat", "a/b.png")
    assert split_incoming("incoming/b.png") == ("", "b.png")


def test_suffixes() -> None:
    assert has_image_suffix("a/b.JPG")
    assert has_image_suffix("b.tiff")
    assert not has_image_suffix("png")
    assert not has_image_suffix("a.png/readme.txt")


def test_safe_segments_are_readable_short_and_different() -> None:
    assert safe_segment("großer Hund.png") == "großer Hund.png"
    assert safe_segment("a\nb%") == "a%0Ab%25"
    assert safe_segment("..") == "%2E%2E"
    long, other = safe_segment("x" * 300 + ".png"), safe_segment("x" * 301 + ".png")
    assert len(long.encode()) <= 200
    assert long.endswith(".png")
    assert long != other
    assert len(safe_segment("猫" * 300).encode()) <= 200


def test_targets_never_collide() -> None:
    taken: set[str] = set()
    keys = [
        target_key("rejected/", "000001", "cat", path, taken)
        for path in ("a.png", "a.png", "a.png.reason.json", "b/a.png", "x" * 2000 + ".png", "/".join(["y" * 90] * 30))
    ]
    assert keys[:2] == ["rejected/000001/cat/a.png", "rejected/000001/cat/a~2.png"]
    reasons = [f"{key}.reason.json" for key in keys]
    assert len({*keys, *reasons}) == 2 * len(keys)
    assert max(len(key.encode()) for key in reasons) < 1024
