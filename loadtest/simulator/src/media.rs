//! Images and audio: small fixed answers.

use bytes::Bytes;

use crate::answer::{Answer, Unary};
use crate::state::Call;
use crate::stats::Usage;
use crate::text::{answer, unix_seconds};

/// A PNG of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// Tokens of a small square image.
const IMAGE_TOKENS: u64 = 272;
/// One silent MPEG-1 layer III frame of 128 kbit/s at 44.1 kHz.
const FRAME_BYTES: usize = 417;
static FRAME: [u8; FRAME_BYTES] = {
    let mut frame = [0; FRAME_BYTES];
    frame[0] = 0xff;
    frame[1] = 0xfb;
    frame[2] = 0x90;
    frame
};

pub(crate) fn image(call: &Call<'_>) -> Answer {
    let usage = Usage {
        prompt: call.fields.prompt_tokens(),
        completion: IMAGE_TOKENS,
    };
    let body = format!(
        concat!(
            r#"{{"created":{},"data":[{{"b64_json":"{}"}}],"usage":{{"input_tokens":{},"input_tokens_details":"#,
            r#"{{"image_tokens":0,"text_tokens":{}}},"output_tokens":{},"total_tokens":{}}}}}"#
        ),
        unix_seconds(),
        PIXEL,
        usage.prompt,
        usage.prompt,
        usage.completion,
        usage.total()
    );
    Unary::json(body, usage)
}

pub(crate) fn speech() -> Answer {
    Answer::Unary(Unary {
        content_type: "audio/mpeg",
        body: Bytes::from_static(&FRAME),
        usage: Usage::default(),
        paced_tokens: 0,
    })
}

pub(crate) fn transcription(call: &Call<'_>) -> Answer {
    let text = answer(call.deployment.spec.behaviour.answer_tokens);
    Unary::json(format!(r#"{{"text":"{text}"}}"#), Usage::default())
}
