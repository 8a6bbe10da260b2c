//! Options of calls of more than two.

use crate::choice::TopologyChoice;
use crate::settings::Settings;
use clap::ValueEnum;

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Calls of more than two")]
pub struct GroupArgs {
    /// As the host: direct (everybody sends to everybody), forward (one passes everything on), mix (one makes a picture
    /// of everybody), or auto
    #[arg(long, global = true, value_name = "auto|direct|forward|mix", hide_possible_values = true)]
    pub topology: Option<Topology>,
    /// Ask for one picture and one sound of everybody, for a weak computer or a narrow link
    #[arg(long, global = true)]
    pub one_picture: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topology {
    Auto,
    Direct,
    Forward,
    Mix,
}

impl From<Topology> for TopologyChoice {
    fn from(topology: Topology) -> Self {
        match topology {
            Topology::Auto => Self::Automatic,
            Topology::Direct => Self::Mesh,
            Topology::Forward => Self::Forward,
            Topology::Mix => Self::Mix,
        }
    }
}

impl GroupArgs {
    /// What the command line says wins over what was remembered.
    pub fn put_into(&self, settings: &mut Settings) {
        settings.topology = self.topology.map_or(settings.topology, TopologyChoice::from);
        settings.one_picture |= self.one_picture;
    }
}
