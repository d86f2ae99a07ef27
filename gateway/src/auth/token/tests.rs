mod flows;
mod keeping;
