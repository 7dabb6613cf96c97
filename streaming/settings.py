"""Settings of everything that runs continuously after Kafka. Read once by the jobs' main() and by `tidemark recover`.

Addresses shared with other packages (Kafka, bronze, database) are in storage.settings; only the tuning of Spark is here.
"""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.settings import AWS_PROFILE_NAMES, AWS_REGION_NAMES


class StreamingSettings(BaseSettings):
    """Every knob has bounds and a default that holds on two cores."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMARK_STREAMING_", frozen=True, extra="ignore", populate_by_name=True
    )

    master: str = Field(default="local[2]", description="Spark master. spark-submit's own value wins on a cluster.")
    jars: str = Field(
        default="",
        description="Jars for the driver's class path (Kafka source, Delta), separated by colons. Empty: spark-submit brings them.",
    )
    class_archive: str = Field(
        default="",
        description="Java class archive for the driver's JVM; one that does not fit is passed over. Empty: none (decision 34).",
    )
    checkpoint_dir: str = Field(
        default=".tidemark/checkpoints/land_bronze",
        description="Where landing keeps its place: a path, or a URI that Hadoop's file systems understand.",
    )
    aws_region: str = Field(
        default="", validation_alias=AWS_REGION_NAMES, description="Region of the bucket. Empty: the file system's."
    )
    aws_profile: str = Field(
        default="", validation_alias=AWS_PROFILE_NAMES, description="Profile of AWS's config files with the keys."
    )
    scratch_dir: str = Field(
        default="", description="Scratch folder of Spark and its JVM. Empty: the system's temporary folder."
    )
    driver_memory_mb: int = Field(
        default=1024, ge=512, le=65_536, description="Heap of the driver's JVM in MiB; its resident memory is 300 more."
    )
    driver_java_options: str = Field(
        default="",
        description="More options for the driver's JVM. A local stack on two processors sets -XX:TieredStopAtLevel=1 (decision 32).",
    )
    shuffle_partitions: int = Field(
        default=2, ge=1, le=64, description="Tasks after a shuffle. Stateful queries freeze it into their checkpoint."
    )
    trigger_seconds: float = Field(
        default=2.0,
        ge=0.1,
        le=60,
        description="Pause between starts of live batches; each costs some 0.4 s of a processor.",
    )
    import_trigger_seconds: float = Field(
        default=1.0, ge=0.1, le=600, description="Pause between starts of import batches."
    )
    max_offsets_live: int = Field(
        default=200_000, ge=100, le=5_000_000, description="Most records of one live batch: bounds its memory and time."
    )
    max_offsets_import: int = Field(
        default=200_000,
        ge=100,
        le=10_000_000,
        description="Most records of one import batch. Both queries share a lock, so it also bounds how long live landing waits.",
    )
    windows_checkpoint_dir: str = Field(
        default=".tidemark/checkpoints/realtime_windows",
        description="Where the live windows keep their place and state: a path, or a URI that Hadoop's file systems understand.",
    )
    windows_driver_memory_mb: int = Field(
        default=512,
        ge=384,
        le=65_536,
        description="Heap of the live windows' JVM in MiB; their state lies outside of it.",
    )
    windows_trigger_seconds: float = Field(
        default=3.0, ge=0.1, le=60, description="Pause between starts of batches of the live windows."
    )
    windows_max_offsets: int = Field(
        default=200_000, ge=100, le=5_000_000, description="Most records of one batch of the live windows."
    )
    windows_watermark_slack_seconds: int = Field(
        default=300,
        ge=180,
        le=7200,
        description="Spark's watermark is later than an event may be by so much: how far apart partitions may be read while catching up.",
    )
    kafka_wait_seconds: float = Field(
        default=120, ge=0, le=3600, description="How long a start waits for the broker and its topics before it fails."
    )
    heartbeat_seconds: float = Field(default=2.0, ge=0.2, le=60, description="Pause between heartbeats.")
    stop_timeout_seconds: float = Field(
        default=15, ge=1, le=300, description="How long a stop waits for the running batch."
    )
    compact_every_seconds: float = Field(
        default=300, ge=0, le=86_400, description="Pause between compactions of bronze; 0 switches them off."
    )
    compact_min_files: int = Field(
        default=100, ge=2, le=10_000, description="Small files that one date must have before it is compacted."
    )
    compact_file_size_mb: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Files of open dates smaller than this count as small. "
        "Closed dates are rewritten beside landing, as files of twice this size.",
    )
    compact_dates_per_run: int = Field(
        default=5, ge=1, le=1000, description="Closed dates that one compaction rewrites; the next one goes on."
    )
    compact_driver_memory_mb: int = Field(
        default=512, ge=384, le=65_536, description="Heap in MiB of the JVM that rewrites closed dates."
    )

    @property
    def compact_target_bytes(self) -> int:
        """How large a file of a closed date should be: as large as those that landing's own compaction makes at most."""
        return 2 * self.compact_file_size_mb * 1024 * 1024

    def of_compaction(self) -> "StreamingSettings":
        """The same for the driver that rewrites closed dates: its own heap."""
        return self.model_copy(update={"driver_memory_mb": self.compact_driver_memory_mb})

    def of_windows(self) -> "StreamingSettings":
        """The same for the driver of the live windows: its own heap and checkpoint folder, which holds state."""
        own = {"driver_memory_mb": self.windows_driver_memory_mb, "checkpoint_dir": self.windows_checkpoint_dir}
        return self.model_copy(update=own)

    @property
    def has_state(self) -> bool:
        """Whether this is the driver whose query keeps state in its checkpoint: see `of_windows`."""
        return self.checkpoint_dir == self.windows_checkpoint_dir
