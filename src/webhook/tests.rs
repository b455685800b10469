mod certificate;
mod decide;
