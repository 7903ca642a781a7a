"""Coefficients as the formula has them, of the moments the pictures show; silence is no sound."""

import av
import librosa
import numpy as np
import pytest

from interest.errors import InvalidSetting, InvalidVideo
from interest.features.audio import AudioSettings, mfcc, read_mfcc, read_sound

SETTINGS = AudioSettings()


def loudest_hz(window):
    spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window))))
    return float(np.argmax(spectrum)) * 16_000 / len(window)


@pytest.mark.slow
def test_coefficients_agree_with_librosa():
    sound = np.random.default_rng(1).normal(0, 0.1, (3, 16_000)).astype(np.float32)
    ours = mfcc(sound, SETTINGS)
    assert ours.shape == (3, 20, 98) and ours.dtype == np.float32
    for window, coefficients in zip(sound, ours, strict=True):
        mel = librosa.feature.melspectrogram(
            y=window, sr=16_000, n_fft=400, hop_length=160, n_mels=40, center=False, htk=True, norm=None
        )
        np.testing.assert_allclose(coefficients, librosa.feature.mfcc(S=np.log(mel + 1e-6), n_mfcc=20), atol=2e-3)


def test_a_batch_gives_what_its_parts_give():
    sound = np.random.default_rng(2).normal(0, 0.1, (5, 3, 16_000)).astype(np.float32)
    np.testing.assert_allclose(mfcc(sound, SETTINGS)[4], mfcc(sound[4], SETTINGS), atol=1e-4)


@pytest.mark.parametrize("duration_s", [6, 60])
def test_windows_hear_the_moments_that_the_pictures_show(clip, duration_s):
    def steps(t):
        return 0.3 * np.sin(2 * np.pi * np.cumsum(400 + 100 * np.floor(t)) / 44_100)

    path = clip("steps.m4a", video=False, sound=steps, duration_s=duration_s)
    starts = (duration_s - 1) * (np.arange(3) + 0.5) / 3
    for window, start in zip(read_sound(path, SETTINGS), starts, strict=True):
        change = round((np.floor(start) + 1 - start) * 16_000)
        assert loudest_hz(window[: change - 320]) == pytest.approx(400 + 100 * np.floor(start), abs=5)
        if 16_000 - change > 2000:
            assert loudest_hz(window[change + 320 :]) == pytest.approx(500 + 100 * np.floor(start), abs=5)


def test_a_click_is_heard_at_its_time(clip):
    def click(t):
        return 0.5 * (np.abs(t - 1.5) < 0.001)

    # room 2 s: windows start at 1/3, 1 and 5/3 s
    sound = read_sound(clip("click.m4a", video=False, sound=click, duration_s=3), SETTINGS)
    assert np.argmax(np.abs(sound[1])) / 16_000 == pytest.approx(0.5, abs=0.003)


def test_the_surround_sound_of_a_real_clip(real):
    with av.open(str(real("bigbuckbunny"))) as container:
        resampler = av.AudioResampler("fltp", "mono", 16_000)
        parts = [p for f in container.decode(audio=0) for p in resampler.resample(f)]
        whole = np.concatenate([p.to_ndarray()[0] for p in parts])
        middles = (container.duration / 1e6 - 1) * (np.arange(3) + 0.5) / 3
    sound = read_sound(real("bigbuckbunny"), SETTINGS)
    # its only key frame is the first: the first window starts there
    for begin, window in zip((0.0, *middles[1:]), sound, strict=True):
        start = round(begin * 16_000)
        assert np.corrcoef(window, whole[start : start + 16_000])[0, 1] > 0.99
    coefficients = read_mfcc(real("bigbuckbunny"), SETTINGS)
    assert coefficients.shape == (3, 20, 98) and np.isfinite(coefficients).all()


def test_how_loud_a_recording_was_made_does_not_matter_but_what_is_louder_within_does(clip):
    def rising(level):
        return lambda t: level * (0.2 + t / 6) * np.sin(2 * np.pi * 500 * t)

    quiet, loud = (
        read_sound(clip(f"{level}.m4a", video=False, sound=rising(level), duration_s=6), SETTINGS)
        for level in (0.05, 0.7)
    )
    assert np.sqrt((quiet**2).mean()) == pytest.approx(0.1, abs=1e-4)
    rms_quiet, rms_loud = np.sqrt((quiet**2).mean(1)), np.sqrt((loud**2).mean(1))
    np.testing.assert_allclose(rms_quiet, rms_loud, rtol=0.02)
    assert rms_loud[0] < rms_loud[1] < rms_loud[2]


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silence_is_no_sound(clip, tone, level):
    assert read_mfcc(clip(sound=tone(440, level)), SETTINGS) is None


def test_a_constant_offset_is_silence_and_goes_from_sound(tmp_path):
    def wav(name, samples):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("pcm_f32le", rate=16_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "flt", "mono")
            frame.rate = 16_000
            container.mux(stream.encode(frame))
        return tmp_path / name

    t = np.arange(32_000) / 16_000
    assert read_sound(wav("constant.wav", np.full(32_000, 0.5)), SETTINGS) is None
    sound = read_sound(wav("offset.wav", 0.5 + 0.1 * np.sin(2 * np.pi * 300 * t)), SETTINGS)
    assert abs(float(sound.mean())) < 1e-4
    wild = 0.1 * np.sin(2 * np.pi * 300 * t)
    wild[[8_000, 9_000, 10_000]] = np.nan, np.inf, -np.inf
    assert np.isfinite(read_mfcc(wav("wild.wav", wild), SETTINGS)).all()


def test_a_clip_without_a_track_has_none(real):
    assert read_mfcc(real("bikes"), SETTINGS) is None


def test_sound_shorter_than_the_pictures_is_padded(clip, tone):
    sound = read_sound(clip(sound=tone(440), sound_s=1.5, duration_s=7.0), SETTINGS)
    assert loudest_hz(sound[0][:7000]) == pytest.approx(440, abs=5)
    assert not sound[2].any()


def test_a_clip_shorter_than_a_window(clip, tone):
    sound = read_sound(clip(sound=tone(440), duration_s=0.3), SETTINGS)
    assert loudest_hz(sound[0][:4000]) == pytest.approx(440, abs=5)
    assert np.isfinite(mfcc(sound, SETTINGS)).all()


def test_a_cut_file_is_heard_as_far_as_it_goes(clip, tone):
    path = clip(sound=tone(440), duration_s=8, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert loudest_hz(read_sound(path, SETTINGS)[0]) == pytest.approx(440, abs=5)


def test_what_is_no_media_is_named(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no sound in here")
    with pytest.raises(InvalidVideo, match=r"text\.mp4"):
        read_mfcc(path, SETTINGS)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InvalidSetting, match="coefficients=50"):
        AudioSettings(coefficients=50)
    assert SETTINGS.spectra == 98
