"""The right pictures at the right times, upright and whole, from every odd file there is."""

from pathlib import Path

import av
import numpy as np
import pytest

from interest.errors import InvalidSetting, InvalidVideo
from interest.features.frames import FrameSettings, read_frames
from interest.features.pictures import shrink
from interest.features.windows import window_starts

SETTINGS = FrameSettings()
RED, GREEN, BLUE = (220, 20, 20), (20, 220, 20), (20, 20, 220)


def greys(count):
    return tuple((20 + 10 * n,) * 3 for n in range(count))


def levels(frames):
    return frames[:, :, 24:40, 24:40].mean(axis=(2, 3, 4))


def second_of(frames):
    """The second in which each picture was shown, in a clip of `greys`; [W, T]."""
    return np.round((levels(frames) - 20) / 10).astype(int)


def expected_times(path, settings=SETTINGS):
    """Where to look, from the key frames that a full decode finds."""
    with av.open(str(path)) as container:
        duration_s = container.duration / 1e6
        keys = [f.time for f in container.decode(video=0) if f.key_frame]
    # Matroska's index is read at the first seek, later than windows are placed; the others have none
    keys = {".mp4": keys, ".mov": keys, ".mkv": keys[:1], ".webm": keys[:1]}.get(path.suffix, [])
    starts = window_starts(duration_s, settings.windows, settings.window_s, keys)
    return starts[:, None] + np.arange(settings.frames) / settings.fps


def test_windows_start_at_the_key_frame_nearest_to_the_middle_of_their_part():
    assert window_starts(7.0, 3, 1.0, [0.0, 1.4, 1.9, 4.0, 6.5]).tolist() == [1.4, 3.0, 4.0]
    assert window_starts(0.4, 3, 1.0, [0.0]).tolist() == [0.0, 0.0, 0.0]


def test_without_key_frames_windows_lie_in_the_middles_of_equal_parts_of_the_room():
    assert window_starts(7.0, 3, 1.0).tolist() == [1.0, 3.0, 5.0]
    assert window_starts(0.4, 3, 1.0).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("duration_s", [3, 7, 21])
@pytest.mark.parametrize("options", [{}, {"g": "12"}, {"preset": "medium"}])
def test_each_picture_is_what_a_player_shows_at_its_time(clip, duration_s, options):
    path = clip(colours=greys(22), duration_s=duration_s, fps=20, width=64, height=64, options=options)
    frames = read_frames(path, SETTINGS)
    assert frames.shape == (3, 8, 64, 64, 3)
    assert frames.dtype == np.uint8
    assert second_of(frames).tolist() == np.floor(expected_times(path) + 1e-6).astype(int).tolist()


def test_variable_frame_rate_goes_by_time_stamps(clip):
    stamps = (0.0, 0.1, 0.2, 0.9, 1.0, 1.05, 1.1, 2.0, 3.0, 3.04, 3.08, 3.5)
    values = {round(stamp * 90_000): 10 + 18 * n for n, stamp in enumerate(stamps)}
    path = clip(
        stamps_s=stamps,
        picture=lambda t: np.full((64, 64, 3), values[round(t * 90_000)], np.uint8),
        width=64,
        height=64,
    )
    shown = [[max(s for s in stamps if s <= t + 1e-4) for t in row] for row in expected_times(path)]
    expected = [[values[round(s * 90_000)] for s in row] for row in shown]
    np.testing.assert_allclose(levels(read_frames(path, SETTINGS)), expected, atol=2)


def test_the_step_is_one_of_time_whatever_the_frame_rate(clip):
    slow, fast = (
        read_frames(clip(f"{fps}.mp4", colours=greys(20), colour_s=0.25, duration_s=4, fps=fps), SETTINGS)
        for fps in (12, 60)
    )
    np.testing.assert_allclose(levels(slow), levels(fast), atol=2)


def test_a_wide_clip_keeps_the_whole_picture_between_black_bars(clip):
    def halves(_):
        picture = np.zeros((64, 128, 3), np.uint8)
        picture[:, :64], picture[:, 64:] = RED, BLUE
        return picture

    frame = read_frames(clip(picture=halves, width=128, height=64), SETTINGS)[0, 0].astype(int)
    assert frame[:16].max() <= 2 and frame[48:].max() <= 2
    np.testing.assert_allclose(frame[20:44, 4:28].mean(axis=(0, 1)), RED, atol=4)
    np.testing.assert_allclose(frame[20:44, 36:60].mean(axis=(0, 1)), BLUE, atol=4)


@pytest.mark.parametrize(("degrees", "top"), [(90, "right"), (-90, "left"), (180, "bottom"), (50, "right")])
def test_rotated_clips_stand_upright(clip, degrees, top):
    sides = {"top": RED, "bottom": GREEN, "left": BLUE, "right": (200, 200, 30)}

    def picture(_):
        p = np.zeros((96, 96, 3), np.uint8)
        p[:24], p[72:] = sides["top"], sides["bottom"]
        p[24:72, :24], p[24:72, 72:] = sides["left"], sides["right"]
        return p

    frame = read_frames(clip(picture=picture, rotation=degrees), SETTINGS)[0, 0]
    np.testing.assert_allclose(frame[3:12, 26:38].mean(axis=(0, 1)), sides[top], atol=6)


@pytest.mark.parametrize("name", ["bigbuckbunny", "bikes", "carphone_pristine"])
def test_real_clips_agree_with_the_colours_of_ffmpeg(real, name):
    with av.open(str(real(name))) as container:
        decoded = [(frame.time, frame) for frame in container.decode(video=0)]
    frames = read_frames(real(name), SETTINGS)
    for at in [(0, 0), (1, 3), (2, 7)]:
        time_s = expected_times(real(name))[at]
        frame = next(f for t, f in reversed(decoded) if t <= time_s + 1e-4)
        shown = frames[at].astype(int)
        aspect = 128 / 117 if name == "carphone_pristine" else 1
        height = round(64 * frame.height / (frame.width * aspect))
        top = (64 - height) // 2
        reference = frame.reformat(width=64, height=height, format="rgb24", interpolation="AREA").to_ndarray()
        difference = np.abs(shown[top : top + height] - reference)
        assert difference.mean() < 3
        assert np.corrcoef(shown[top : top + height].ravel(), reference.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p", "yuv444p", "nv12", "yuv420p10le", "gray", "rgb24"])
def test_every_pixel_format_gives_the_same_colour(pixels):
    source = av.VideoFrame.from_ndarray(np.full((48, 80, 3), (180, 60, 90), np.uint8), "rgb24")
    shown = shrink(source.reformat(format=pixels), 32, None)[16, 16]
    grey = round(0.299 * 180 + 0.587 * 60 + 0.114 * 90)
    np.testing.assert_allclose(shown, (grey,) * 3 if pixels == "gray" else (180, 60, 90), atol=3)


def test_pixels_that_are_not_square_are_stretched():
    from fractions import Fraction

    source = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8), "rgb24")
    picture = shrink(source, 32, Fraction(2, 1))
    assert picture[:8].max() == 0 and picture[8:24].min() >= 198 and picture[24:].max() == 0


def test_one_frame_is_repeated(clip):
    frames = read_frames(clip(duration_s=0.01), SETTINGS)
    assert frames.shape == (3, 8, 64, 64, 3)
    assert (frames == frames[0, 0]).all() and frames.max() > 150


def test_a_4k_clip_is_read(clip):
    path = clip(width=3840, height=2160, duration_s=0.2, fps=10, colours=(GREEN,))
    np.testing.assert_allclose(read_frames(path, SETTINGS)[1, 4, 32, 32], GREEN, atol=4)


def test_sound_without_pictures_has_none(clip, tone):
    assert read_frames(clip("only.m4a", video=False, sound=tone(440)), SETTINGS) is None


def test_a_cover_picture_is_no_video(clip, tone, tmp_path):
    sound, path = clip("s.m4a", video=False, sound=tone(440)), tmp_path / "cover.mp4"
    with av.open(str(sound)) as source, av.open(str(path), "w") as target:
        audio = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                target.mux(packet)
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24").reformat(format="yuvj420p")
        target.mux(cover.encode(frame))
        target.mux(cover.encode(None))
    with av.open(str(path)) as container:
        assert [s.disposition & av.stream.Disposition.attached_pic != 0 for s in container.streams.video] == [True]
    assert read_frames(path, SETTINGS) is None


def test_a_cut_file_gives_the_pictures_that_are_there(clip):
    options = {"movflags": "faststart"}
    path = clip(colours=greys(8), duration_s=8, container_options=options, options={"g": "10"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    seconds = second_of(read_frames(path, SETTINGS))
    assert (np.diff(seconds.ravel()) >= 0).all()
    assert 3 <= seconds.max() <= 6 and seconds.min() <= 1
    assert len(set(seconds[:, 0])) == 3, "the windows lie within what is left"


def test_damage_in_the_middle_costs_only_what_it_hits(clip):
    path = clip(colours=greys(8), duration_s=8, options={"g": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    assert second_of(read_frames(path, SETTINGS))[0].tolist() == [1] * 7 + [2]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_what_is_no_video_is_named_in_one_line(clip, tmp_path):
    whole = clip().read_bytes()
    bad = [
        write(tmp_path / "empty.mp4", b""),
        write(tmp_path / "text.mp4", b"Dear reader,\nthis is a letter.\n" * 50),
        write(tmp_path / "list.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"),
        write(tmp_path / "noise.mp4", np.random.default_rng(0).bytes(5000)),
        write(tmp_path / "head.mp4", whole[:40]),
        write(tmp_path / "cut.mp4", whole[: len(whole) // 2]),
        tmp_path / "absent.mp4",
    ]
    for path in bad:
        with pytest.raises(InvalidVideo, match=path.name) as caught:
            read_frames(path, SETTINGS)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.avi", "clip.webm", "clip.ts", "clip.mov"])
def test_other_containers(clip, name):
    codec = "libvpx" if name.endswith("webm") else "libx264"
    path = clip(name, colours=greys(5), duration_s=5, fps=10, codec=codec)
    seconds = second_of(read_frames(path, SETTINGS))
    assert np.abs(seconds - np.floor(expected_times(path))).max() <= (1 if name.endswith("avi") else 0), (
        "avi: one frame late"
    )


def test_the_same_file_gives_the_same_bytes(real):
    first, second = (read_frames(real("bikes"), SETTINGS).tobytes() for _ in range(2))
    assert first == second


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InvalidSetting, match="windows=0"):
        FrameSettings(windows=0)
