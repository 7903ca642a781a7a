"""MLServer: started by the benchmark as `mlserver start FOLDER`, which names this module's `Interest`."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from numpy import array, float32

from benchmarks.peers.host import Host


class Interest(MLModel):
    """Open Inference Protocol v2: `user_id` [1], `video_id` [N] to `probability` [N]."""

    async def load(self) -> bool:
        self.host = Host.from_env()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (user,), videos = (StringCodec.decode_input(one) for one in payload.inputs)
        scores = array(self.host.scores(user, videos), float32)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("probability", scores[:, None])]
        )
