//! What a setting's text can mean where it is one of a few words. Knows no setting.

use crate::values::Value;

/// Declares a value that is one of a few words.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// The word.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl Value for $name {
            const CHOICES: &'static [&'static str] = &[$($word),+];

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err(format!("write one of {}", Self::CHOICES.join(", "))),
                }
            }

            fn show(&self) -> String {
                self.word().to_owned()
            }
        }
    };
}

choice! {
    /// The PROXY header that a connection begins with.
    ProxyVersions {
        /// none: a connection begins with a request
        Off = "off",
        /// a line of text
        V1 = "v1",
        /// a binary block
        V2 = "v2",
        /// one or the other
        Auto = "auto",
    }
}

choice! {
    /// From which severity on a log line is written.
    Level {
        /// every step
        Debug = "debug",
        /// what an operator may want to know
        Info = "info",
        /// what looks wrong
        Warning = "warning",
        /// what failed
        Error = "error",
    }
}

choice! {
    /// What becomes of request fields whose name has an underscore, which CGI cannot tell from a hyphen.
    Underscores {
        /// the field is left out
        Drop = "drop",
        /// the request is answered with 400
        Refuse = "refuse",
        /// the field is handed on
        Allow = "allow",
    }
}

choice! {
    /// What becomes of the forwarded fields of peers that are not trusted.
    Unbelieved {
        /// the application does not see them
        Remove = "remove",
        /// they are handed on
        Keep = "keep",
    }
}

choice! {
    /// Whether clients have to show certificates.
    ClientCertificates {
        /// they are not asked
        None = "none",
        /// they may
        Optional = "optional",
        /// they have to
        Required = "required",
    }
}

choice! {
    /// What tells that a file has changed.
    ReloadEngine {
        /// the system, where it can
        Auto = "auto",
        /// a look at every file, each second
        Poll = "poll",
    }
}

choice! {
    /// What becomes of a thread whose request is past its deadline.
    TimeoutAction {
        /// what it is doing is logged
        Log = "log",
        /// an exception is raised in it as well
        Raise = "raise",
    }
}
