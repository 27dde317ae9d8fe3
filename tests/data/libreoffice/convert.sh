#!/bin/sh
# Converts traps.fods with LibreOffice (Debian: apt-get install libreoffice-calc) into the files beside it.
# They are kept in the repository, because the tests shall not need LibreOffice.
set -eu
cd "$(dirname "$0")"
for format in ods xls xlsx; do
    soffice --headless --convert-to "$format" traps.fods
done
# Sheet 1, UTF-8 (76), semicolon (59), quotes around text only where needed, cells as they are shown.
soffice --headless --convert-to 'csv:Text - txt - csv (StarCalc):59,34,76,1,,0,false,true,false,false,false,1' traps.fods
mv traps-Enrolments.csv traps.csv
