//! The arguments that are plain data, as values that a file can hold.

#[cfg(feature = "serde")]
mod describe;
#[cfg(feature = "serde")]
mod field;
mod file;
mod for_children;
mod in_force;
#[cfg(feature = "serde")]
mod layers;
#[cfg(feature = "serde")]
mod listing;
mod own;
mod places;
#[cfg(feature = "serde")]
mod read;
#[cfg(feature = "serde")]
mod units;
#[cfg(feature = "serde")]
mod value;

#[cfg(feature = "serde")]
pub use describe::Setting;
#[cfg(feature = "serde")]
pub(super) use field::{Field, Given, Mask as OctalMask, Memory};
pub use file::SettingsError;
pub(crate) use file::{ReadFile, faults_read, files_read, read};
pub(crate) use in_force::{Fixed, Held, InForce, Live, Mask, Reaction};

#[cfg(test)]
mod tests {
    use crate::{Args, Settings};

    #[test]
    fn what_is_not_set_stays() {
        let settings = Settings { prefork: Some(7), ..Settings::default() };
        let args = Args::new().prefork(4).max_children(9).settings(settings);
        assert_eq!(
            (args.data.settings.prefork, args.data.settings.max_children),
            (Some(7), Some(9))
        );
        let args = args.settings(Settings::default());
        assert_eq!(args.data.settings.prefork, Some(7));
    }
}
